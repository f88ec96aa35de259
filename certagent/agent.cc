#include "certagent/agent.h"

#include <unistd.h>

#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "certagent/byrnie_ca_client.h"
#include "certagent/grpc_bidi_stream.h"
#include "certagent/grpc_flow_collector.h"
#include "certagent/istio_ca_client.h"
#include "certagent/token_file.h"
#include "certagent/workload_api/byrnie_jwt_issuer.h"
#include "common/base/status_macros.h"
#include "envoy/service/discovery/v3/discovery.grpc.pb.h"

namespace byrnie {
namespace {

using ::envoy::service::discovery::v3::AggregatedDiscoveryService;

// Less than the control plane waits for this agent, so that it hears of both.
constexpr absl::Duration kProxyPatience = absl::Milliseconds(300);
constexpr absl::Duration kPollTrustFiles = absl::Milliseconds(500);

// As Istio's node agents name themselves: "ztunnel~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local".
std::string NodeId(const AgentConfig& config) {
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  std::string name_space = "default";
  if (config.spiffe_id.has_value() && !config.spiffe_id->k8s_namespace().empty()) {
    name_space = std::string(config.spiffe_id->k8s_namespace());
  }
  return absl::StrCat("ztunnel~", config.workload_addresses.front().ToString(), "~", host, ".",
                      name_space, "~", name_space, ".svc.cluster.local");
}

ControlPlaneConnector::Options ControlPlaneOptions(const AgentConfig& config) {
  ControlPlaneConnector::Options options;
  options.service = "control_plane";
  options.targets = config.control_planes;
  options.trust_domain = config.trust_domain;
  options.roots_path = config.trust_bundle_path;
  options.watch_closely = true;
  return options;
}

ControlPlaneConnector::Options CaOptions(const AgentConfig& config) {
  ControlPlaneConnector::Options options = ControlPlaneOptions(config);
  options.service = "ca";
  if (!config.ca_addresses.empty()) options.targets = config.ca_addresses;
  options.server_name = config.ca_server_name;
  options.roots_path = config.ca_roots_path;
  // Authorities of others end connections that ask too often.
  options.watch_closely = config.ca == AgentConfig::Ca::kByrnie;
  return options;
}

// One connection carries both where the authority is the control plane.
bool NeedsOwnConnector(const AgentConfig& config) {
  return !config.ca_addresses.empty() || !config.ca_server_name.empty() ||
         config.ca_roots_path != config.trust_bundle_path;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(EventLoop* loop, const Clock* clock,
                                                     const AgentConfig& config, Logger* log) {
  std::unique_ptr<Agent> agent(new Agent(loop, config, log));
  TrustFiles::Options trust_files;
  trust_files.crls = config.crls;
  trust_files.metrics_prefix = "byrnie_certagent";
  trust_files.clock = clock;
  ASSIGN_OR_RETURN(agent->trust_files_,
                   TrustFiles::Create(std::move(trust_files), log, &agent->metrics_));
  agent->UseRevocationLists();
  agent->poll_trust_files_ = loop->NewTimer([raw = agent.get()] { raw->PollTrustFiles(); });
  agent->poll_trust_files_->Schedule(kPollTrustFiles);
  ASSIGN_OR_RETURN(agent->admin_, Admin::Create(loop, config.admin, config.min_renewal_interval,
                                                log, &agent->metrics_));
  LinkServer::Options link;
  link.path = config.link_socket;
  link.proxy_uid = config.proxy_uid;
  link.proxy_executable = config.proxy_executable;
  ASSIGN_OR_RETURN(agent->link_,
                   LinkServer::Create(loop, link, agent.get(), log, &agent->metrics_));
  if (!config.workload_api_path.empty()) {
    RETURN_IF_ERROR(agent->ServeWorkloadApi(config, clock));
  }
  agent->admin_->Show({agent->renewer_.get(), agent->discovery_.get(), agent->link_.get(),
                       agent->file_sink_.get()});
  return agent;
}

Agent::Agent(EventLoop* loop, const AgentConfig& config, Logger* log)
    : loop_(loop),
      log_(log),
      connector_(loop, ControlPlaneOptions(config), config.trust_bundle_pem, log, &metrics_,
                 random_),
      ca_connector_(NeedsOwnConnector(config)
                        ? std::make_unique<ControlPlaneConnector>(
                              loop, CaOptions(config), config.ca_roots_pem, log, &metrics_, random_)
                        : nullptr),
      ca_kind_(config.ca),
      custodian_(std::make_unique<KeyCustodian>(loop, &metrics_, KeyCustodian::Options())),
      audit_(loop, log),
      ca_(NewCaClient(config)) {
  Renewer::Options renewal;
  renewal.trust_domain = config.trust_domain;
  renewal.expected_id = config.spiffe_id;
  renewal.proofs = config.proofs;
  renewal.ttl = config.certificate_ttl;
  renewal.bundles = config.trust_bundle;
  renewal.random = [this] { return absl::Uniform<double>(random_, 0, 1); };
  renewal.has_proxy = [this] { return HasProxy(); };
  renewer_ = std::make_unique<Renewer>(
      loop, ca_.get(), custodian_.get(), log, &metrics_, std::move(renewal),
      [this](const IdentitySnapshotPtr& snapshot, bool rotated) { OnPublish(snapshot, rotated); });

  DiscoveryClient::Options discovery;
  discovery.node_id = NodeId(config);
  discovery.network = config.network;
  discovery.own_addresses = config.workload_addresses;
  DiscoveryClient::Observer* observer = this;
  discovery_ = std::make_unique<DiscoveryClient>(
      loop, std::move(discovery),
      [this](DiscoveryStream::Callbacks callbacks) { return OpenDiscovery(std::move(callbacks)); },
      observer, log, &metrics_, random_);
  flow_collector_ = std::make_unique<GrpcFlowCollector>(loop, &connector_,
                                                        [this] { return renewer_->identity(); });
  flows_ = std::make_unique<FlowForwarder>(loop, flow_collector_.get(), log, &metrics_, random_,
                                           [this] { link_->OnFlowsLost(); });
  if (config.file_sink.has_value()) {
    file_sink_ = std::make_unique<FileSink>(loop, *config.file_sink, log, &metrics_, random_);
  }
  connector_.SetRootsListener([this] {
    discovery_->Connect();
    if (ca_connector_ == nullptr) WatchTrustBundles();
  });
  if (ca_connector_ != nullptr) ca_connector_->SetRootsListener([this] { WatchTrustBundles(); });
}

Agent::~Agent() = default;

bool Agent::HasProxy() const { return link_->session() != nullptr && link_->session()->open(); }

void Agent::AskProxy(absl::AnyInvocable<void(ProxyPresence)> done) {
  if (!HasProxy()) return done(ProxyPresence::kNone);
  link_->AskProxy(kProxyPatience, [done = std::move(done)](bool answered) mutable {
    done(answered ? ProxyPresence::kAnswers : ProxyPresence::kSilent);
  });
}

void Agent::PollTrustFiles() {
  poll_trust_files_->Schedule(kPollTrustFiles);
  if (trust_files_->Poll()) UseRevocationLists();
}

void Agent::UseRevocationLists() {
  const RevocationListMap lists = trust_files_->RevocationLists();
  connector_.SetRevocationLists(lists);
  if (ca_connector_ != nullptr) ca_connector_->SetRevocationLists(lists);
  renewer_->SetRevocationLists(lists);
}

absl::Status Agent::ServeWorkloadApi(const AgentConfig& config, const Clock* clock) {
  jwt_issuer_ = std::make_unique<ByrnieJwtIssuer>(
      loop_, [this]() -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
        ASSIGN_OR_RETURN(ControlPlaneConnector::Connection connection,
                         authority()->SharedChannel(renewer_->identity()));
        return connection.channel;
      });
  WorkloadListener::Options options;
  options.path = config.workload_api_path;
  options.uids = config.workload_api_uids;
  options.any_uid = config.workload_api_any_uid;
  ASSIGN_OR_RETURN(workload_api_, WorkloadApi::Create(loop_, std::move(options), jwt_issuer_.get(),
                                                      clock, &workload_metrics_, log_));
  log_->Info("serving the workload API: the private key leaves this process",
             {{"socket", config.workload_api_path}});
  return absl::OkStatus();
}

std::unique_ptr<CaClient> Agent::NewCaClient(const AgentConfig& config) {
  TokenFile token(config.token_path, config.token_audience);
  switch (config.ca) {
    case AgentConfig::Ca::kIstio:
      return std::make_unique<IstioCaClient>(
          loop_, authority(), std::move(token),
          IstioCaClient::Options{config.trust_domain, config.cluster_id});
    case AgentConfig::Ca::kByrnie:
      break;
  }
  return std::make_unique<ByrnieCaClient>(
      loop_, authority(), std::move(token), log_, random_,
      [this](absl::AnyInvocable<void(ProxyPresence)> done) { AskProxy(std::move(done)); });
}

void Agent::OnPublish(const IdentitySnapshotPtr& snapshot, bool rotated) {
  link_->OnIdentity(*snapshot);
  // What an authority of somebody else sends says nothing about the control plane.
  if (ca_connector_ == nullptr && ca_kind_ == AgentConfig::Ca::kByrnie) {
    connector_.SetLearnedRoots(snapshot->bundles().Find(snapshot->id().trust_domain())->roots);
  }
  if (workload_api_ != nullptr) workload_api_->Publish(snapshot, renewer_->identity()->key);
  if (file_sink_ != nullptr) file_sink_->Publish(snapshot, renewer_->identity()->key);
  if (!rotated) return;
  // Streams move to the new certificate: the control plane ends those of an expired one.
  WatchTrustBundles();
  discovery_->Connect();
}

void Agent::WatchTrustBundles() {
  if (renewer_->identity() == nullptr) return;
  ca_->WatchTrustBundles(renewer_->identity(), [this](absl::StatusOr<TrustBundleUpdate> update) {
    renewer_->OnTrustBundles(std::move(update));
  });
}

absl::StatusOr<std::unique_ptr<DiscoveryStream>> Agent::OpenDiscovery(
    DiscoveryStream::Callbacks callbacks) {
  if (renewer_->identity() == nullptr) {
    return absl::FailedPreconditionError("no certificate to ask the control plane with yet");
  }
  ASSIGN_OR_RETURN(ControlPlaneConnector::Connection connection,
                   connector_.SharedChannel(renewer_->identity()));
  using Stream = GrpcBidiStream<DiscoveryCache::Request, DiscoveryCache::Response>;
  callbacks.on_message =
      [this, endpoint = connection.endpoint,
       next = std::move(callbacks.on_message)](DiscoveryCache::Response response) mutable {
        connector_.OnStreamWorks(endpoint);
        next(std::move(response));
      };
  callbacks.on_closed = [this, endpoint = connection.endpoint,
                         next = std::move(callbacks.on_closed)](absl::Status why) mutable {
    if (!why.ok()) why = connector_.OnCallEnded(endpoint, std::move(why));
    next(std::move(why));
  };
  return std::make_unique<Stream>(
      loop_,
      [stub = std::shared_ptr<AggregatedDiscoveryService::Stub>(AggregatedDiscoveryService::NewStub(
           connection.channel))](grpc::ClientContext* context, Stream::Reactor* reactor) {
        stub->async()->DeltaAggregatedResources(context, reactor);
      },
      std::move(callbacks));
}

}  // namespace byrnie
