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
#include "controlplane/kubernetes/published_bundle.h"

namespace byrnie {

// Keeps the trust bundle in a ConfigMap of every meshed namespace, where agents find whom to trust.
// Applied by the server ("server-side apply"), which leaves what others write beside it; one
// request at a time; again when the bundle or the namespaces change, when somebody has changed or
// deleted it, and from time to time, should that have gone unseen.
//
// A cluster has one mesh: where a meshed namespace has the roots of another one, none of which is
// ours, nothing is written anywhere, for its pods would trust nobody any more. So each namespace is
// looked at before any is written. A rotation is no such case: it never leaves all roots at once.
//
// What fails in one namespace, by a policy that is for it, say, is tried there again after a wait
// of its own, and holds up no other; only while the API server does not answer, or is too busy, do
// all wait. Lives on one loop.
class TrustPublisher {
 public:
  static constexpr char kConfigMap[] = "byrnie-trust-bundle";
  // A namespace with this label and value is meshed.
  static constexpr char kMeshedLabel[] = "byrnie.io/inject";
  static constexpr char kMeshedValue[] = "true";
  static constexpr absl::Duration kEvery = absl::Minutes(10);
  // While the roots of another mesh are there.
  static constexpr absl::Duration kWhileForeign = absl::Minutes(1);

  // One that cannot be looked at so often may as well be read by nobody, and others are written.
  static constexpr int kLooksBeforeOthers = 3;

  // What others do to bundles is put right once in so long, for whoever does it again and again.
  static constexpr absl::Duration kRepairAfter = absl::Seconds(1);

  // The pointers, and what `random` borrows, outlive it.
  TrustPublisher(Informer<LabelledObject>* namespaces, Informer<PublishedBundle>* bundles,
                 ApiClient* client, EventLoop* loop, absl::BitGenRef random, Logger* logger,
                 MetricRegistry* metrics);
  TrustPublisher(const TrustPublisher&) = delete;
  TrustPublisher& operator=(const TrustPublisher&) = delete;

  // PEM. Nothing is published before the first one, and an empty one is none.
  void SetBundle(std::string pem);

 private:
  void OnNamespaces(const Informer<LabelledObject>::Changes& changes);
  void OnBundles(const Informer<PublishedBundle>::Changes& changes);
  void Repair();
  void Enqueue(const std::string& ns);
  void EnqueueAll();
  void Next();
  void Look(const std::string& ns);
  void OnLooked(const std::string& ns, absl::StatusOr<ApiResponse> response);
  void Write(const std::string& ns);
  void OnDone(const std::string& ns, absl::StatusOr<ApiResponse> response);
  void Refuse();
  bool IsMeshedStill(const std::string& ns) const;
  // Lets what failed in a namespace be tried again, and how others go on.
  void TryAgain(const std::string& ns, bool looked, const absl::StatusOr<ApiResponse>& response);
  // Whether one might have another mesh's roots and is to be looked at again soon.
  bool IsOneUnseen() const;
  // Of a namespace whose work is done, or that is gone.
  void Forget(const std::string& ns);
  // Goes on with what is queued.
  void GoOn();
  // Says it once for as long as it is the same, in that namespace or for all of them.
  void Log(absl::string_view what, const std::string& ns, absl::string_view error,
           bool of_the_server);

  Informer<LabelledObject>* const namespaces_;  // Not owned.
  ApiClient* const client_;                     // Not owned.
  Logger* const logger_;                        // Not owned.
  Counter* const published_;
  Counter* const failed_;
  Counter* const refused_;
  // Why a namespace waits, and until when.
  struct Trouble {
    Backoff backoff;
    int failed_looks = 0;
    std::unique_ptr<EventLoop::Timer> over;
  };

  EventLoop* const loop_;  // Not owned.
  absl::BitGenRef random_;
  // Of the API server as a whole.
  Backoff backoff_;
  std::string bundle_;
  // To be looked at, and then to be written; each once in either.
  std::deque<std::string> looks_, writes_;
  std::set<std::string> queued_;
  // Those that have the roots of another mesh.
  std::set<std::string> foreign_;
  // Whose bundle somebody has changed or deleted since the last repair.
  std::set<std::string> lost_;
  std::map<std::string, Trouble> troubles_;
  // What was said last, by namespace; "": of the server as a whole.
  std::map<std::string, std::string> logged_;
  std::unique_ptr<EventLoop::Timer> next_;
  std::unique_ptr<EventLoop::Timer> again_;
  std::unique_ptr<EventLoop::Timer> repair_;
  std::unique_ptr<ApiClient::Call> call_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_
