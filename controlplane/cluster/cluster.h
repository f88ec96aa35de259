#ifndef BYRNIE_CONTROLPLANE_CLUSTER_CLUSTER_H_
#define BYRNIE_CONTROLPLANE_CLUSTER_CLUSTER_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/attest/jwt_attestor.h"
#include "controlplane/attest/kubernetes_attestor.h"
#include "controlplane/attest/pod_binding.h"
#include "controlplane/attest/service_account_keys.h"
#include "controlplane/attest/token_review.h"
#include "controlplane/attest/token_signatures.h"
#include "controlplane/events/event_log.h"
#include "controlplane/health/cluster_health.h"
#include "controlplane/kubernetes/api_connector.h"
#include "controlplane/kubernetes/api_credentials.h"
#include "controlplane/kubernetes/api_server.h"
#include "controlplane/kubernetes/ca_bundle_keeper.h"
#include "controlplane/kubernetes/http_api_client.h"
#include "controlplane/kubernetes/informer_cache.h"
#include "controlplane/kubernetes/list_watch.h"
#include "controlplane/kubernetes/objects.h"
#include "controlplane/kubernetes/trust_publisher.h"
#include "controlplane/kubernetes/webhook_configuration.h"
#include "controlplane/policy/kubernetes/access_policy.h"
#include "controlplane/policy/kubernetes/access_policy_source.h"
#include "controlplane/policy/kubernetes/policy_status_writer.h"
#include "controlplane/registry/kubernetes/kubernetes_source.h"
#include "controlplane/registry/kubernetes/pod_directory.h"
#include "controlplane/registry/kubernetes/unmeshed_pods.h"
#include "controlplane/registry/registry_sources.h"

namespace byrnie {

// The Kubernetes half of a control plane: follows a cluster's API server on a thread of its own,
// so that a long list delays nothing else. Created and destroyed on any one thread; the rest may be
// called from any.
class Cluster {
 public:
  struct Options {
    KubernetesMesh mesh;
    // Feeds the registry, with policies too, and publishes the trust bundle to meshed namespaces.
    bool registry = false;
    // Has service accounts' tokens reviewed, of these audiences.
    bool attest = false;
    std::vector<std::string> audiences;
    // What becomes of one that is not shown at its pod's address.
    PodAddressRule pod_address = PodAddressRule::kRecord;
    // The MutatingWebhookConfiguration whose caBundle is kept what SetTrustBundle says; empty:
    // none.
    std::string webhook_configuration;
    // With `registry`: the namespace whose AccessPolicies may be about the whole mesh, and which
    // has the trust bundle without being meshed.
    std::string root_namespace;
  };

  // It follows from now on, whether the API server is there yet or not. `server`'s CA and token are
  // read once here: errors name what cannot be used. The pointers outlive it.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(Options options, ApiServer server,
                                                        RegistrySources* sources, EventLog* events,
                                                        const Clock* clock, Logger* logger,
                                                        MetricRegistry* metrics);
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  // Nobody asks the attestor any more.
  ~Cluster();

  // Null without Options::attest.
  Attestor* attestor() { return attestor_.get(); }
  // Whether all that it feeds the registry with is there.
  bool registry_ready() const { return source_ == nullptr || source_->ready(); }
  // Whether API servers can ask the webhook (CaBundleKeeper::CheckReady); OK without
  // Options::webhook_configuration.
  absl::Status CheckWebhook() const {
    return ca_bundle_ == nullptr ? absl::OkStatus() : ca_bundle_->CheckReady();
  }
  // What is to be known of it, as the parts that Options say there are tell.
  ClusterHealth Health() const;
  // What meshed namespaces, and API servers of the webhook, are to trust, PEM.
  void SetTrustBundle(std::string pem);

 private:
  template <typename T>
  struct Followed {
    std::unique_ptr<InformerCache<T>> cache;
    std::unique_ptr<ListWatch> watch;
  };

  Cluster(Options options, const Clock* clock, Logger* logger, MetricRegistry* metrics);
  absl::Status Build(ApiServer server, RegistrySources* sources, EventLog* events);
  void BuildPolicies(RegistrySources* sources, EventLog* events);
  void BuildRegistry(RegistrySources* sources);
  void BuildAttestor(EventLog* events);
  void BuildWebhook();
  template <typename T>
  Followed<T> MakeCache(const std::string& resource, typename InformerCache<T>::Decode decode);
  template <typename T>
  void Follow(Followed<T>* followed, ListWatch::Options options);
  // The API server has lost what it told of one of its resources.
  void ListOthersAgain(const ListWatch* noticed);

  const Options options_;
  const Clock* const clock_;       // Not owned.
  Logger* const logger_;           // Not owned.
  MetricRegistry* const metrics_;  // Not owned.
  absl::BitGen random_;            // Of the loop.

  // In the order of what needs what.
  std::unique_ptr<EpollEventLoop> loop_;
  std::unique_ptr<ApiCredentials> credentials_;
  std::unique_ptr<ApiConnector> connector_;
  std::unique_ptr<HttpApiClient> client_;
  PodDirectory directory_;
  Followed<Pod> pods_;
  Followed<KubeService> services_;
  Followed<EndpointSlice> slices_;
  Followed<LabelledObject> nodes_, namespaces_;
  Followed<PublishedBundle> bundles_;
  Followed<AccessPolicy> policies_;
  std::unique_ptr<PolicyStatusWriter> policy_statuses_;
  std::unique_ptr<AccessPolicySource> policy_source_;
  std::unique_ptr<KubernetesSource> source_;
  std::unique_ptr<UnmeshedPods> unmeshed_;
  std::unique_ptr<TrustPublisher> publisher_;
  Followed<WebhookConfiguration> webhooks_;
  std::vector<ListWatch*> watches_;  // All of those.
  std::unique_ptr<CaBundleKeeper> ca_bundle_;
  TokenSignatures signatures_;
  std::unique_ptr<JwtAttestor> fallback_;
  std::unique_ptr<ServiceAccountKeys> keys_;
  std::unique_ptr<ApiTokenReviewer> reviewer_;
  std::unique_ptr<KubernetesAttestor> attestor_;
  std::thread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CLUSTER_CLUSTER_H_
