#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/api_client.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/objects.h"

namespace byrnie {

// Keeps the trust bundle in a ConfigMap of every meshed namespace, where agents find whom to trust.
// Applied by the server ("server-side apply"), which needs no reading first and leaves what others
// write beside it; one request at a time; again when the bundle or the namespaces change, and from
// time to time, should somebody have changed or deleted it. Lives on one loop.
class TrustPublisher {
 public:
  static constexpr char kConfigMap[] = "byrnie-trust-bundle";
  static constexpr char kKey[] = "bundle.pem";
  // A namespace with this label and value is meshed.
  static constexpr char kMeshedLabel[] = "byrnie.io/inject";
  static constexpr char kMeshedValue[] = "true";
  static constexpr absl::Duration kEvery = absl::Minutes(10);

  // The pointers, and what `random` borrows, outlive it.
  TrustPublisher(Informer<LabelledObject>* namespaces, ApiClient* client, EventLoop* loop,
                 absl::BitGenRef random, Logger* logger, MetricRegistry* metrics);
  TrustPublisher(const TrustPublisher&) = delete;
  TrustPublisher& operator=(const TrustPublisher&) = delete;

  // PEM. Nothing is published before the first one, and an empty one is none.
  void SetBundle(std::string pem);

 private:
  void OnNamespaces(const Informer<LabelledObject>::Changes& changes);
  void Enqueue(const std::string& ns);
  void EnqueueAll();
  void Next();
  void OnDone(const std::string& ns, absl::StatusOr<ApiResponse> response);

  Informer<LabelledObject>* const namespaces_;  // Not owned.
  ApiClient* const client_;                     // Not owned.
  Logger* const logger_;                        // Not owned.
  Counter* const published_;
  Counter* const failed_;
  Backoff backoff_;
  std::string bundle_;
  // To be written, each once.
  std::deque<std::string> queue_;
  std::set<std::string> queued_;
  std::string logged_;
  std::unique_ptr<EventLoop::Timer> next_;
  std::unique_ptr<EventLoop::Timer> again_;
  std::unique_ptr<ApiClient::Call> call_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_
