#include "controlplane/cluster/cluster.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {

Cluster::Cluster(Options options, const Clock* clock, Logger* logger, MetricRegistry* metrics)
    : options_(std::move(options)), clock_(clock), logger_(logger), metrics_(metrics) {}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(Options options, ApiServer server,
                                                        RegistrySources* sources, EventLog* events,
                                                        const Clock* clock, Logger* logger,
                                                        MetricRegistry* metrics) {
  auto cluster = absl::WrapUnique(new Cluster(std::move(options), clock, logger, metrics));
  RETURN_IF_ERROR(cluster->Build(std::move(server), sources, events));
  cluster->thread_ = std::thread([loop = cluster->loop_.get()] { loop->Run(); });
  return cluster;
}

Cluster::~Cluster() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

absl::Status Cluster::Build(ApiServer server, RegistrySources* sources, EventLog* events) {
  ASSIGN_OR_RETURN(loop_, EpollEventLoop::Create(clock_));
  credentials_ = std::make_unique<ApiCredentials>(std::move(server), logger_);
  const auto explain = [](absl::string_view what, const absl::Status& status) {
    return absl::Status(status.code(),
                        absl::StrCat("the API server's ", what, ": ", status.message()));
  };
  const absl::Status ca = credentials_->Context().status();
  if (!ca.ok()) return explain("CA", ca);
  const absl::Status token = credentials_->Token().status();
  if (!token.ok()) return explain("token", token);
  connector_ = std::make_unique<TlsApiConnector>(loop_.get(), credentials_.get());
  client_ = std::make_unique<HttpApiClient>(loop_.get(), connector_.get(), credentials_.get());
  if (!options_.webhook_configuration.empty()) BuildWebhook();
  if (!options_.registry && !options_.attest) return absl::OkStatus();
  // Pods are followed for the attestor, too, which has to know which are gone.
  pods_ = MakeCache<Pod>("pods", ParsePod);
  pods_.cache->AddListener(
      [this](const Informer<Pod>::Changes& changes) { directory_.OnPods(changes); });
  if (options_.registry) {
    BuildPolicies(sources, events);
    BuildRegistry(sources);
  }
  if (options_.attest) BuildAttestor(events);
  ListWatch::Options pods;
  pods.paths = {"/api/v1/pods"};
  Follow(&pods_, std::move(pods));
  return absl::OkStatus();
}

template <typename T>
Cluster::Followed<T> Cluster::MakeCache(const std::string& resource,
                                        typename InformerCache<T>::Decode decode) {
  return {std::make_unique<InformerCache<T>>(resource, std::move(decode), logger_, metrics_),
          nullptr};
}

template <typename T>
void Cluster::Follow(Followed<T>* followed, ListWatch::Options options) {
  options.name = followed->cache->resource();
  options.on_set_back = [this, followed] { ListOthersAgain(followed->watch.get()); };
  followed->watch = std::make_unique<ListWatch>(std::move(options), client_.get(), loop_.get(),
                                                random_, followed->cache.get(), logger_, metrics_);
  watches_.push_back(followed->watch.get());
}

void Cluster::ListOthersAgain(const ListWatch* noticed) {
  for (ListWatch* const watch : watches_) {
    if (watch != noticed) watch->ListAgain();
  }
}

void Cluster::BuildPolicies(RegistrySources* sources, EventLog* events) {
  policies_ = MakeCache<AccessPolicy>("accesspolicies", [this](const JsonValue& object) {
    return ParseAccessPolicy(object, options_.root_namespace);
  });
  policy_statuses_ =
      std::make_unique<PolicyStatusWriter>(client_.get(), loop_.get(), random_, logger_, metrics_);
  policy_source_ = std::make_unique<AccessPolicySource>(
      policies_.cache.get(), policy_statuses_.get(), options_.root_namespace, loop_.get(), sources,
      events, logger_, metrics_);
  ListWatch::Options policies;
  policies.paths = {"/apis/byrnie.io/v1/accesspolicies"};
  Follow(&policies_, std::move(policies));
}

void Cluster::BuildRegistry(RegistrySources* sources) {
  services_ = MakeCache<KubeService>("services", ParseService);
  slices_ = MakeCache<EndpointSlice>("endpointslices", ParseEndpointSlice);
  nodes_ = MakeCache<LabelledObject>("nodes", ParseLabelledObject);
  namespaces_ = MakeCache<LabelledObject>("namespaces", ParseLabelledObject);
  source_ = std::make_unique<KubernetesSource>(
      options_.mesh,
      KubernetesSource::Informers{pods_.cache.get(), services_.cache.get(), slices_.cache.get(),
                                  nodes_.cache.get(), namespaces_.cache.get(),
                                  policy_source_.get()},
      loop_.get(), sources, logger_, metrics_);
  unmeshed_ = std::make_unique<UnmeshedPods>(pods_.cache.get(), namespaces_.cache.get(),
                                             options_.mesh.istio_peers, logger_, metrics_);
  bundles_ = MakeCache<PublishedBundle>("configmaps", ParsePublishedBundle);
  publisher_ = std::make_unique<TrustPublisher>(options_.root_namespace, namespaces_.cache.get(),
                                                bundles_.cache.get(), client_.get(), loop_.get(),
                                                random_, logger_, metrics_);
  ListWatch::Options services;
  services.paths = {"/api/v1/services"};
  Follow(&services_, std::move(services));
  ListWatch::Options slices;
  slices.paths = {"/apis/discovery.k8s.io/v1/endpointslices",
                  "/apis/discovery.k8s.io/v1beta1/endpointslices"};
  Follow(&slices_, std::move(slices));
  ListWatch::Options nodes;
  nodes.paths = {"/api/v1/nodes"};
  nodes.metadata_only = true;
  Follow(&nodes_, std::move(nodes));
  ListWatch::Options namespaces;
  namespaces.paths = {"/api/v1/namespaces"};
  namespaces.metadata_only = true;
  Follow(&namespaces_, std::move(namespaces));
  ListWatch::Options bundles;
  bundles.paths = {"/api/v1/configmaps"};
  // The right to those of this name is all that it takes.
  bundles.parameters = absl::StrCat(
      "fieldSelector=", EncodeQuery(absl::StrCat("metadata.name=", TrustPublisher::kConfigMap)));
  Follow(&bundles_, std::move(bundles));
}

void Cluster::BuildAttestor(EventLog* events) {
  // Without keys it knows no issuer, and so no token.
  fallback_ = std::make_unique<JwtAttestor>(std::make_shared<const JwtTrust>(), clock_);
  keys_ = std::make_unique<ServiceAccountKeys>(options_.mesh.trust_domain, options_.audiences,
                                               client_.get(), loop_.get(), random_, logger_,
                                               [this](JwtTrustPtr trust) {
                                                 signatures_.SetKeys(trust->issuers.front().keys);
                                                 fallback_->SetTrust(std::move(trust));
                                               });
  reviewer_ = std::make_unique<ApiTokenReviewer>(client_.get(), loop_.get(), clock_);
  KubernetesAttestor::Options attest;
  attest.trust_domain = options_.mesh.trust_domain;
  attest.audiences = options_.audiences;
  attest.pods = &directory_;
  attest.pod_address = options_.pod_address;
  attest.on_other_address = [events](const SpiffeId& id, absl::string_view why) {
    events->Add(EventKind::kCertificateIssued, id.text(),
                absl::StrCat("a token was taken that its pod did not show: ", why));
  };
  attest.signatures = &signatures_;
  attest.on_unknown_key = [this] { loop_->Post([this] { keys_->FetchSoon(); }); };
  attestor_ = std::make_unique<KubernetesAttestor>(std::move(attest), reviewer_.get(),
                                                   fallback_.get(), clock_, metrics_);
}

void Cluster::BuildWebhook() {
  webhooks_ =
      MakeCache<WebhookConfiguration>("mutatingwebhookconfigurations", ParseWebhookConfiguration);
  const std::string& name = options_.webhook_configuration;
  ca_bundle_ = std::make_unique<CaBundleKeeper>(name, webhooks_.cache.get(), client_.get(),
                                                loop_.get(), random_, logger_, metrics_);
  ListWatch::Options webhooks;
  webhooks.paths = {"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"};
  // The right to one by its name is all that it takes.
  webhooks.parameters = absl::StrCat("fieldSelector=", EncodeQuery("metadata.name=" + name));
  Follow(&webhooks_, std::move(webhooks));
}

void Cluster::SetTrustBundle(std::string pem) {
  loop_->Post([this, pem = std::move(pem)] {
    if (publisher_ != nullptr) publisher_->SetBundle(pem);
    if (ca_bundle_ != nullptr) ca_bundle_->SetBundle(pem);
  });
}

ClusterHealth Cluster::Health() const {
  ClusterHealth health;
  if (unmeshed_ != nullptr) {
    health.unmeshed_pods = unmeshed_->names();
    health.opted_out_pods = unmeshed_->opted_out();
  }
  if (policy_source_ != nullptr) health.refused_policies = policy_source_->refused();
  if (ca_bundle_ != nullptr) {
    health.contested_webhook = ca_bundle_->contested() ? options_.webhook_configuration : "";
  }
  if (publisher_ != nullptr) {
    health.trust_refused_by = publisher_->refused_by();
    health.trust_overwritten = publisher_->overwritten();
    health.trust_unwritten = publisher_->unwritten();
  }
  return health;
}

}  // namespace byrnie
