#include "controlplane/control_plane.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/flow/flow_groups.h"
#include "controlplane/admin.h"
#include "controlplane/control_plane_gauges.h"
#include "controlplane/kubernetes/api_server.h"
#include "controlplane/open_mesh_store.h"
#include "controlplane/operator/operator_token.h"
#include "controlplane/own_files.h"
#include "controlplane/server/rotating_credentials.h"
#include "controlplane/shared_settings.h"
#include "controlplane/start_checks.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/trust/trust_digest.h"

namespace byrnie {
namespace {

// Certificates a second, where there is no limit, that a tainted root's holders ask for.
constexpr double kUnlimitedTaintRate = 1000;

// Versions of a process begin where no earlier process has got to, and where no other one is that
// was started in the same millisecond.
uint64_t FirstVersion(const Clock& clock) {
  absl::BitGen random;
  const int64_t millis = std::max<int64_t>(1, absl::ToUnixMillis(clock.WallNow()));
  return static_cast<uint64_t>(millis) * 1000 + absl::Uniform<uint64_t>(random, 0, 1000);
}

}  // namespace

ControlPlane::ControlPlane(ControlPlaneOptions options, EventLoop* loop, const Clock* clock,
                           Logger* logger)
    : options_(std::move(options)),
      loop_(loop),
      clock_(clock),
      logger_(logger),
      guard_(&socket_owners_, geteuid()),
      events_(clock) {}

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Start(
    const ControlPlaneOptions& options, EventLoop* loop, const Clock* clock, Logger* logger) {
  auto control_plane = absl::WrapUnique(new ControlPlane(options, loop, clock, logger));
  const absl::Status started = control_plane->StartAll();
  if (started.ok()) return control_plane;
  const bool new_store = control_plane->new_store_, new_spool = control_plane->new_spool_;
  const std::vector<std::string> outputs = std::move(control_plane->new_outputs_);
  control_plane.reset();
  if (new_store) {
    // A token or a bundle of an authority that is not kept is of no use to anybody.
    for (const std::string& path : outputs) ::unlink(path.c_str());
    SqliteStore::Discard(options.store.sqlite_path);
  }
  if (new_spool) SqliteStore::Discard(options.issuance_spool);
  return started;
}

absl::Status ControlPlane::StartAll() {
  // First what only looks, so that a mistake leaves nothing behind.
  RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(options_.trust_domain));
  registry_sources_.Hold();
  if (!options_.registry_path.empty()) {
    ASSIGN_OR_RETURN(registry_file_,
                     StaticFile::Create(options_.registry_path, options_.trust_domain,
                                        &registry_sources_, &events_, logger_, &metrics_));
  }
  TrustFiles::Options trust_files;
  trust_files.bundles = options_.federated_bundles;
  trust_files.crls = options_.crls;
  trust_files.metrics_prefix = "byrnie_controlplane";
  trust_files.clock = clock_;
  ASSIGN_OR_RETURN(trust_files_, TrustFiles::Create(std::move(trust_files), logger_, &metrics_));
  if (!options_.jwt_config_path.empty()) {
    ASSIGN_OR_RETURN(jwt_files_, JwtFiles::Create(options_.jwt_config_path, options_.trust_domain,
                                                  logger_, &metrics_));
  }
  if (options_.webhook.has_value()) {
    const bool publishes_roots = options_.use_cluster && options_.cluster.registry;
    ASSIGN_OR_RETURN(injector_file_,
                     InjectorFile::Create(options_.injector_config_path, options_.injector,
                                          publishes_roots, logger_, &metrics_));
  }
  RETURN_IF_ERROR(CheckOwnFiles(
      options_, jwt_files_ == nullptr ? std::vector<std::string>() : jwt_files_->KeyFiles()));
  ASSIGN_OR_RETURN(new_outputs_,
                   CheckOutputs({{"trust_bundle_out", options_.trust_bundle_out},
                                 {"operator_token_out", options_.operator_token_out}}));
  RETURN_IF_ERROR(
      CheckPortsAreFree(loop_, {{"listen", options_.listen},
                                {"admin", options_.admin},
                                {"webhook_listen", options_.webhook.value_or(SocketAddress())}}));

  ASSIGN_OR_RETURN(mesh_store_, OpenMeshStore(options_, clock_, logger_, &metrics_, &new_store_));
  store_ = mesh_store_->store();
  RETURN_IF_ERROR(CheckRegistryFile());
  // As etcdctl shows keys.
  const absl::optional<EtcdOptions>& etcd = options_.store.etcd;
  unreadable_ = std::make_unique<UnreadableRecords>(
      etcd.has_value() ? absl::StrCat(etcd->prefix, "entries/") : "", logger_, &metrics_);
  TrustKeeper::Options trust;
  trust.unreadable = unreadable_.get();
  trust.may_make_root = mesh_store_->may_make_root();
  trust.trust_domain = options_.trust_domain;
  trust.workload_ttl = options_.workload_ttl;
  trust.seal = options_.seal;
  trust.plugged_directory = options_.plugged_ca;
  trust.own_names = options_.server_names;
  if (options_.webhook.has_value()) {
    trust.own_names.insert(trust.own_names.end(), options_.webhook_names.begin(),
                           options_.webhook_names.end());
  }
  trust.foreign_lists = trust_files_->RevocationListsOf(options_.trust_domain);
  if (etcd.has_value()) trust.issue_without_store = options_.issue_without_store;
  ASSIGN_OR_RETURN(trust_,
                   TrustKeeper::Create(store_, std::move(trust), clock_, logger_, &metrics_));
  authority_ = trust_->authority();
  if (etcd.has_value() && !options_.plugged_ca.empty()) {
    const absl::Status joins = SharedFleet::CheckMayJoin(
        store_, options_.name, DigestOf(*authority_->snapshot(), /*plugged=*/true),
        clock_->WallNow());
    if (absl::IsFailedPrecondition(joins)) return InFlag("ca", joins);
    RETURN_IF_ERROR(joins);
  }
  trust_files_->SetJudge(options_.trust_domain,
                         [this](const std::vector<RevocationListPtr>& lists) {
                           return trust_->JudgeForeignLists(lists);
                         });
  RETURN_IF_ERROR(trust_files_->SetRoots(options_.trust_domain, trust_->KnownRoots()));
  RETURN_IF_ERROR(OpenIssuanceLog());
  JwtAuthority::Options jwt;
  jwt.max_ttl = options_.jwt_svid_ttl;
  jwt.rotation = options_.jwt_key_rotation;
  jwt.seal = options_.seal;
  jwt.unreadable = unreadable_.get();
  ASSIGN_OR_RETURN(jwt_authority_,
                   JwtAuthority::LoadOrCreate(store_, options_.trust_domain, clock_, jwt));
  ASSIGN_OR_RETURN(TrustBundleSet bundles, CollectBundles());
  bundles_ = std::make_unique<TrustBundleSource>(std::move(bundles), FirstVersion(*clock_),
                                                 CurrentTaint());
  ASSIGN_OR_RETURN(identity_, ServerIdentity::Create(authority_, clock_, ServerIdentity::kTtl,
                                                     options_.server_names, issuance_log_.get()));
  if (!options_.trust_bundle_out.empty()) {
    bundle_file_ =
        std::make_unique<BundleFile>(options_.trust_bundle_out, authority_, clock_, logger_);
    const absl::Status written = bundle_file_->Write();
    const std::string remedy =
        absl::StrCat("; give a file that uid ", ::geteuid(), " may make and replace");
    if (!written.ok()) return InFlag("trust_bundle_out", written, remedy);
  }
  ASSIGN_OR_RETURN(std::string operator_hash,
                   PrepareOperatorToken(options_.operator_token_out, store_, logger_));
  if (operator_hash.empty()) {
    logger_->Warning(
        "there is no operator token, so whoever has none of another kind is refused; give "
        "--operator_token_out");
  }

  RETURN_IF_ERROR(LoadRegistry());
  RETURN_IF_ERROR(StartCluster());
  operator_records_ = std::make_unique<RecordTable>(store_, "operators/");
  MakeAttestors();
  issuance_ = std::make_unique<Issuance>(authority_, attestors_.get(), bundles_.get(),
                                         options_.workload_ttl, options_.issue_rate, &agents_,
                                         clock_, logger_, &metrics_, options_.identity_issue_rate,
                                         issuance_log_.get(), options_.key_types);
  ca_service_ = std::make_unique<CaService>(
      issuance_.get(), authority_, jwt_authority_.get(), bundles_.get(),
      CaService::Options{options_.trust_domain, options_.issue_rate, options_.identity_issue_rate},
      &agents_, issuance_log_.get(), &strangers_, &call_threads_, clock_, logger_, &metrics_);
  istio_service_ = std::make_unique<IstioService>(issuance_.get(), bundles_.get(),
                                                  options_.trust_domain, &call_threads_);
  discovery_ = std::make_unique<DeltaAds>(
      options_.trust_domain, &registry_, bundles_.get(), &agents_, clock_, logger_, &metrics_,
      [this] { return cluster_ == nullptr || cluster_->registry_ready(); });
  discovery_waker_ = std::make_unique<StreamWaker>([this] { discovery_->streams()->WakeAll(); });
  registry_.SetListener([this] { discovery_waker_->Wake(); });
  operators_ = std::make_unique<OperatorDirectory>(std::move(operator_hash), options_.operators,
                                                   operator_records_.get(), clock_);
  operator_token_ = std::make_unique<OperatorTokenFollower>(
      store_, [this](std::string hash) { operators_->SetFirstHash(std::move(hash)); });
  trust_calls_ = std::make_unique<TrustCalls>(trust_.get(), issuance_log_.get(),
                                              options_.workload_ttl, clock_);
  flows_ = std::make_unique<FlowLedger>(clock_, &events_, &metrics_);
  flow_service_ =
      std::make_unique<FlowService>(flows_.get(), bundles_.get(), &registry_, options_.trust_domain,
                                    &call_threads_, clock_, logger_, &metrics_);
  flow_calls_ = std::make_unique<FlowCalls>(flows_.get(), &registry_, &agents_);
  RETURN_IF_ERROR(JoinFleet());
  health_ = std::make_unique<HealthWatch>(
      HealthWatch::Sources{
          options_.name, options_.issue_without_store, store_, unreadable_.get(),
          issuance_log_.get(), trust_.get(), bundles_.get(), &registry_sources_,
          shared_fleet_.get(),
          [this] { return cluster_ == nullptr ? ClusterHealth() : cluster_->Health(); },
          [this] {
            absl::MutexLock lock(&input_files_mu_);
            return input_files_;
          },
          bundle_file_.get(), clock_},
      &metrics_);
  operator_ = std::make_unique<OperatorService>(
      operators_.get(),
      OperatorSources{operators_.get(), tokens_.get(), authority_, ca_service_.get(),
                      bundles_.get(), &agents_, &registry_, stored_registry_->policies(),
                      stored_registry_->entries(), &events_, clock_, flow_calls_.get(),
                      trust_calls_.get(), &registry_sources_, shared_fleet_.get(),
                      &health_->board(), options_.name},
      &call_threads_, logger_, &metrics_);
  ASSIGN_OR_RETURN(
      server_, GrpcServer::Start(options_.listen,
                                 CreateRotatingServerCredentials(identity_.get(), bundles_.get()),
                                 {ca_service_.get(), istio_service_.get(), discovery_.get(),
                                  flow_service_.get(), operator_.get()},
                                 &strangers_));
  readiness_ = std::make_unique<Readiness>(
      authority_,
      std::vector<std::string>{byrnie::ca::v1::CertificateAuthority::service_full_name(),
                               istio::v1::auth::IstioCertificateService::service_full_name()},
      std::vector<std::string>{
          envoy::service::discovery::v3::AggregatedDiscoveryService::service_full_name(),
          byrnie::flow::v1::FlowCollector::service_full_name(),
          byrnie::operator_::v1::Operator::service_full_name()},
      logger_, &metrics_);
  UpdateReadiness();
  AddControlPlaneGauges({authority_, identity_.get(), &agents_, &registry_, &registry_sources_,
                         logger_, [this] { return jwt_keys_ != nullptr && jwt_keys_->leading(); }},
                        &metrics_);
  mesh_page_ = std::make_unique<MeshPage>(clock_, [this] { return GatherMeshState(); });
  ASSIGN_OR_RETURN(
      admin_,
      StartAdminServer(loop_, options_.admin,
                       AdminSources{authority_, &agents_, &registry_, &metrics_, clock_, logger_,
                                    &guard_, mesh_page_.get(), [this] { return CheckReady(); },
                                    [this] { return CheckAlive(); }}));
  RETURN_IF_ERROR(StartWebhook());
  tick_ = loop_->NewTimer([this] { Tick(); });
  tick_->Schedule(kTick);
  store_->BeginLog();
  jwt_keys_ = std::make_unique<JwtKeyKeeper>(jwt_authority_.get(), store_, logger_);
  catch_up_ = std::make_unique<PeriodicThread>(kTick, [this] {
    stored_registry_->CatchUp();
    mesh_store_->LeaveWord();
    if (registry_mark_ != nullptr) registry_mark_->Write();
    // Of a rotation the keeper of the trust record says where it stands.
    if (shared_fleet_ != nullptr && trust_->rotation() == nullptr) {
      shared_fleet_->Follow(RotationStanding(), clock_->WallNow());
    }
  });
  look_at_operators_ = std::make_unique<PeriodicThread>(kLookAtOperators,
                                                        [this] { operator_->EndInvalidStreams(); });
  // Last: from then on moves of a rotation may be made.
  FleetSource* fleet = own_fleet_.get();
  if (shared_fleet_ != nullptr) fleet = shared_fleet_.get();
  trust_->Start(fleet, [this] { loop_->Post([this] { FollowTrust(); }); });
  health_->Start();
  WarnOfOpenKeys();
  logger_->Info("control plane ready",
                {{"trust_domain", options_.trust_domain},
                 {"listen", server_->address().ToString()},
                 {"admin", admin_->address().ToString()},
                 {"root_not_after", UtcText(authority_->root()->not_after())},
                 {"workloads", static_cast<uint64_t>(registry_.snapshot()->workload_count())}});
  return absl::OkStatus();
}

absl::Status ControlPlane::OpenIssuanceLog() {
  const std::string& path = options_.issuance_spool;
  const absl::optional<EtcdOptions>& etcd = options_.store.etcd;
  if (!path.empty()) {
    const std::string owner =
        absl::StrCat(options_.trust_domain, " in ",
                     etcd.has_value() ? absl::StrCat("etcd:", etcd->prefix)
                                      : absl::StrCat("sqlite:", options_.store.sqlite_path));
    absl::StatusOr<std::unique_ptr<SpoolFile>> spool =
        SpoolFile::Open(path, owner, logger_, &new_spool_);
    if (!spool.ok()) {
      return InFlag("issuance_spool", spool.status(),
                    "; or give --issuance_spool=memory, and what is issued without the store is "
                    "not in the log of issuances when this process is killed");
    }
    issuance_spool_ = *std::move(spool);
  } else if (etcd.has_value()) {
    logger_->Warning(
        "what is issued while the etcd is away is not in the log of issuances when this process is "
        "killed; give a file with --issuance_spool");
  }
  stored_issuances_ = std::make_unique<StoredIssuances>(store_, unreadable_.get());
  IssuanceLog::Options log = options_.issuance_log;
  log.keep_at_least = LongestLife();
  issuance_log_ = std::make_unique<IssuanceLog>(stored_issuances_.get(), issuance_spool_.get(), log,
                                                clock_, logger_, &metrics_);
  return issuance_log_->TakeInSpooled();
}

void ControlPlane::MakeAttestors() {
  // Operators make tokens whether they are taken or not.
  tokens_ = std::make_unique<JoinTokens>(options_.trust_domain, store_, clock_, &metrics_);
  if (jwt_files_ != nullptr) {
    jwt_attestor_ = std::make_unique<JwtAttestor>(jwt_files_->trust(), clock_);
  }
  std::vector<Attestor*> attestors;
  for (AttestorKind kind : options_.attest) {
    switch (kind) {
      case AttestorKind::kJoinToken:
        attestors.push_back(tokens_.get());
        break;
      case AttestorKind::kJwt:
        attestors.push_back(jwt_attestor_.get());
        break;
      case AttestorKind::kKubernetes:
        attestors.push_back(cluster_->attestor());
        break;
    }
  }
  attestors_ = std::make_unique<AttestorSet>(std::move(attestors), &metrics_);
}

// Before anything is written: the mark is with the first run of catch_up_.
absl::Status ControlPlane::CheckRegistryFile() {
  if (registry_file_ == nullptr) {
    if (options_.cluster.registry) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::unique_ptr<RegistryFileMark> mark,
                     RegistryFileMark::Load(store_, clock_));
    if (!mark->had_entries()) return absl::OkStatus();
    return InFlag("registry",
                  absl::InvalidArgumentError(
                      "no file is given, and the mesh has had one with entries: without its "
                      "policies everybody would be let in; give it (static:FILE) or, where it is "
                      "to have none, one that says {\"empty\": true}, once"));
  }
  ASSIGN_OR_RETURN(registry_mark_, RegistryFileMark::Load(store_, clock_));
  if (registry_mark_->had_entries()) RETURN_IF_ERROR(registry_file_->SetHadEntries());
  registry_mark_->Set(registry_file_->had_entries());
  return absl::OkStatus();
}

absl::Status ControlPlane::LoadRegistry() {
  ASSIGN_OR_RETURN(stored_registry_,
                   StoredRegistry::Load(store_, options_.trust_domain, &registry_sources_,
                                        unreadable_.get(), &events_, clock_, logger_));
  const absl::Status released = registry_sources_.Release();
  return registry_file_ == nullptr ? released : registry_file_->InFile(released);
}

absl::Status ControlPlane::StartCluster() {
  if (!options_.use_cluster) return absl::OkStatus();
  absl::StatusOr<ApiServer> server =
      options_.kubeconfig.empty() ? InClusterApiServer([](absl::string_view name) {
        const char* const value = ::getenv(std::string(name).c_str());
        return std::string(value == nullptr ? "" : value);
      })
                                  : ReadKubeconfig(options_.kubeconfig);
  if (!server.ok()) return InFlag("kubeconfig", server.status());
  absl::StatusOr<std::unique_ptr<Cluster>> cluster =
      Cluster::Start(options_.cluster, *std::move(server), &registry_sources_, &events_, clock_,
                     logger_, &metrics_);
  if (!cluster.ok()) return InFlag("kubeconfig", cluster.status());
  cluster_ = *std::move(cluster);
  cluster_->SetTrustBundle(RootsPem(*authority_->snapshot()));
  return absl::OkStatus();
}

absl::Status ControlPlane::StartWebhook() {
  if (!options_.webhook.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(webhook_identity_,
                   ServerIdentity::Create(authority_, clock_, options_.webhook_certificate_ttl,
                                          options_.webhook_names, issuance_log_.get()));
  absl::StatusOr<std::unique_ptr<WebhookServer>> webhook =
      WebhookServer::Start(*options_.webhook, webhook_identity_.get(), injector_file_->config(),
                           clock_, logger_, &metrics_);
  if (!webhook.ok()) return InFlag("webhook_listen", webhook.status());
  webhook_ = *std::move(webhook);
  AddWebhookGauge(webhook_identity_.get(), &metrics_);
  logger_->Info("injection webhook listens", {{"listen", webhook_->address().ToString()}});
  return absl::OkStatus();
}

void ControlPlane::WarnOfOpenKeys() const {
  if (options_.seal.seals()) return;
  logger_->Warning(
      "private keys are in the store as they are: whoever reads it or a backup of it can issue any "
      "identity; give --store_key",
      {{"path", options_.store.sqlite_path}});
}

absl::Duration ControlPlane::LongestLife() const {
  const RootRotation* const rotation = trust_->rotation();
  return rotation == nullptr ? options_.workload_ttl : rotation->LongestLife();
}

// Before agents come: what they show is then known, and others know that some may be here.
absl::Status ControlPlane::JoinFleet() {
  RootRotation* const rotation = trust_->rotation();
  own_fleet_ = std::make_unique<ConnectedFleet>(
      &agents_, bundles_.get(), issuance_log_.get(),
      rotation == nullptr ? absl::InfinitePast() : rotation->logged_since(), LongestLife());
  own_fleet_->SetBundleFile(bundle_file_.get(), options_.name);
  own_fleet_->SetRevoked(
      [this](const std::string& serial) { return trust_->revocations()->IsRevoked(serial); });
  if (rotation != nullptr) (void)own_fleet_->View(rotation->standing(), rotation->GateTime());
  if (!options_.store.etcd.has_value()) return absl::OkStatus();
  absl::BitGen random;
  const std::string instance = absl::StrFormat("%016x", absl::Uniform<uint64_t>(random));
  shared_fleet_ = std::make_unique<SharedFleet>(
      own_fleet_.get(), store_, issuance_log_.get(),
      SharedFleet::Options{options_.name, instance, options_.issue_without_store, unreadable_.get(),
                           authority_, rotation == nullptr},
      clock_, logger_);
  TellSettings();
  if (rotation == nullptr) return shared_fleet_->Join(RotationStanding());
  RETURN_IF_ERROR(shared_fleet_->Join(rotation->standing()));
  // Moves from now on reckon with this one; those made since the record was read did not.
  RETURN_IF_ERROR(trust_->CatchUp());
  if (!trust_->Poll()) return absl::OkStatus();
  ASSIGN_OR_RETURN(TrustBundleSet bundles, CollectBundles());
  bundles_->Publish(std::move(bundles), CurrentTaint());
  return absl::OkStatus();
}

void ControlPlane::TellSettings() {
  if (shared_fleet_ == nullptr) return;
  const TrustBundleSource::BundlesPtr bundles = bundles_->bundles();
  SettingContents contents;
  if (jwt_files_ != nullptr) contents.jwt_config = jwt_files_->trust()->digest;
  if (injector_file_ != nullptr) contents.injector_config = injector_file_->digest();
  contents.bundles = bundles.get();
  shared_fleet_->SetSettings(DigestSettings(options_, contents));
}

ControlPlane::~ControlPlane() {
  tick_ = nullptr;
  webhook_ = nullptr;
  if (catch_up_ != nullptr) {
    catch_up_ = nullptr;
    // What the last tick found: the next process is to know of it.
    if (registry_mark_ != nullptr) registry_mark_->Write();
  }
  if (stored_registry_ != nullptr) stored_registry_->StopFollowing();
  look_at_operators_ = nullptr;
  if (health_ != nullptr) health_->Stop();
  // What its thread posts nobody runs any more.
  if (trust_ != nullptr) trust_->Stop();
  registry_.SetListener(nullptr);
  discovery_waker_ = nullptr;
  const absl::Status ending = absl::UnavailableError("the control plane is shutting down");
  if (ca_service_ != nullptr) ca_service_->streams()->EndAll(ending);
  if (discovery_ != nullptr) discovery_->streams()->EndAll(ending);
  if (operator_ != nullptr) operator_->streams()->EndAll(ending);
  if (server_ != nullptr) server_->Stop(kStopGrace);
  if (shared_fleet_ != nullptr) shared_fleet_->Leave();
}

absl::StatusOr<TrustBundleSet> ControlPlane::CollectBundles() const {
  TrustBundleMap own;
  own[options_.trust_domain] = trust_->bundle();
  own[options_.trust_domain].jwt_keys = jwt_authority_->PublicKeys();
  ASSIGN_OR_RETURN(TrustBundleSet base, TrustBundleSet::Create(std::move(own)));
  return trust_files_->AddTo(base);
}

// So that as many ask at once as can be served, and some more.
TrustBundleSource::Taint ControlPlane::CurrentTaint() const {
  TrustBundleSource::Taint taint;
  taint.root = trust_->tainted_root();
  if (taint.root.empty()) return taint;
  const double rate = options_.issue_rate > 0 ? options_.issue_rate : kUnlimitedTaintRate;
  const double holders = static_cast<double>(agents_.holders().size());
  taint.renew_within =
      std::clamp(absl::Seconds(2 * holders / rate), absl::Duration(absl::Seconds(1)),
                 absl::Duration(absl::Minutes(5)));
  return taint;
}

void ControlPlane::FollowTrust() {
  const bool files_changed = trust_files_->Poll();
  if (files_changed) {
    trust_->SetForeignLists(trust_files_->RevocationListsOf(options_.trust_domain));
  }
  const bool authority_changed = trust_->Poll();
  // Also by those of a plugged CA that waits for their lists; what is not good by them is named.
  trust_files_->SetRoots(options_.trust_domain, trust_->KnownRoots()).IgnoreError();
  // Before the bundles lose the root they are of.
  RenewOwnCertificates();
  if (bundle_file_ != nullptr) bundle_file_->Keep();
  // Whatever others' files are like: pods that start go by it.
  if (authority_changed && cluster_ != nullptr) {
    cluster_->SetTrustBundle(RootsPem(*authority_->snapshot()));
  }
  const bool keys_changed = jwt_keys_->TakeChanged();
  if (!files_changed && !authority_changed && !keys_changed) return;
  absl::StatusOr<TrustBundleSet> bundles = CollectBundles();
  if (!bundles.ok()) {
    logger_->Error("trust files do not go together, what was in force stays",
                   {{"error", bundles.status().message()}});
    return;
  }
  bundles_->Publish(*std::move(bundles), CurrentTaint());
  ca_service_->streams()->WakeAll();
  events_.Add(EventKind::kTrustChanged, options_.trust_domain,
              absl::StrCat("trust bundles published, version ", bundles_->current().version));
  logger_->Info("trust bundles published", {{"version", bundles_->current().version}});
}

MeshState ControlPlane::GatherMeshState() const {
  MeshState state;
  state.time = clock_->WallNow();
  state.control_plane = options_.name;
  state.other_control_planes = health_->board().others();
  state.trust_domain = options_.trust_domain;
  state.workload_ttl = options_.workload_ttl;
  const RegistrySnapshotPtr registry = registry_.snapshot();
  state.workloads = registry->workload_count();
  state.services = registry->service_count();
  state.policies = registry->policy_count();
  state.agents = agents_.ListAll();
  state.flows = GroupFlows(flow_calls_->All());
  const RootRotation* const rotation = trust_->rotation();
  state.trust = rotation != nullptr ? Summarize(rotation->Status())
                                    : Summarize(*trust_->authority()->snapshot());
  return state;
}

void ControlPlane::EndStalled(StreamSet* streams) {
  for (const std::string& address : streams->EndStalled()) {
    stalled_->Increment();
    logger_->Warning("stream ended, its reader takes nothing", {{"address", address}});
  }
}

void ControlPlane::NoteInputFiles() {
  InputFiles found{trust_files_->Rejected(), trust_files_->WrongInForce()};
  if (jwt_files_ != nullptr) {
    for (std::string& why : jwt_files_->Rejected()) found.rejected.push_back(std::move(why));
  }
  for (const absl::Status& state :
       {registry_file_ == nullptr ? absl::OkStatus() : registry_file_->state(),
        injector_file_ == nullptr ? absl::OkStatus() : injector_file_->state(),
        trust_->PluggedState()}) {
    if (!state.ok()) found.rejected.emplace_back(state.message());
  }
  absl::MutexLock lock(&input_files_mu_);
  input_files_ = std::move(found);
}

void ControlPlane::Tick() {
  tick_->Schedule(kTick);
  const RootRotation* const rotation = trust_->rotation();
  agents_.holders()->ForgetEnded(rotation == nullptr ? clock_->WallNow() : rotation->GateTime());
  if (registry_file_ != nullptr && registry_file_->Poll()) {
    registry_mark_->Set(registry_file_->had_entries());
  }
  if (jwt_files_ != nullptr && jwt_files_->Poll()) jwt_attestor_->SetTrust(jwt_files_->trust());
  if (injector_file_ != nullptr && injector_file_->Poll()) {
    webhook_->SetConfig(injector_file_->config());
  }
  // Before what may follow from this tick: who is revoked has by then been sent the bundles that
  // say so, and asks for another certificate.
  const TrustBundleSource::Versioned bundles = bundles_->current();
  FollowTrust();
  TellSettings();
  NoteInputFiles();
  UpdateReadiness();
  for (StreamSet* streams : {ca_service_->streams(), discovery_->streams()}) {
    streams->EndExpired();
    streams->EndRevoked(bundles, options_.trust_domain);
    EndStalled(streams);
  }
}

void ControlPlane::UpdateReadiness() {
  readiness_->Update(
      [this](const std::string& service, bool serving) { server_->SetServing(service, serving); });
}

absl::Status ControlPlane::CheckReady() const {
  RETURN_IF_ERROR(readiness_->Check());
  if (webhook_ != nullptr) RETURN_IF_ERROR(webhook_->Check());
  return cluster_ == nullptr ? absl::OkStatus() : cluster_->CheckWebhook();
}

absl::Status ControlPlane::CheckAlive() const {
  return webhook_ == nullptr ? absl::OkStatus() : webhook_->Check(LoopPulse::kStuck);
}

void ControlPlane::RenewOwnCertificates() {
  const Revocations& revoked = *trust_->revocations();
  identity_->KeepCurrent("control plane", revoked, logger_);
  if (webhook_identity_ == nullptr) return;
  webhook_identity_->KeepCurrent("injection webhook", revoked, logger_);
}

}  // namespace byrnie
