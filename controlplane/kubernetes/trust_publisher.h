#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
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
// A cluster has one mesh: where no namespace has any of our roots and some have another mesh's,
// nothing is written anywhere, for its pods would trust nobody any more. So each namespace is
// looked at before any is written. A rotation is no such case: it never leaves all roots at once.
//
// Once ours are anywhere, the mesh is ours. What a namespace's own writers then put there is their
// namespace's matter alone: it is overwritten, told, and holds up no other. The home namespace,
// where none but the mesh's operators have rights, has the bundle too, so that this does not depend
// on what is in the others.
//
// What fails in one namespace, by a policy that is for it, say, is tried there again after a wait
// of its own, and holds up no other; only while the API server does not answer, or is too busy, do
// all wait. Lives on one loop, but for refused_by(), overwritten() and unwritten().
class TrustPublisher {
 public:
  static constexpr char kConfigMap[] = "byrnie-trust-bundle";
  // A namespace with this label and value is meshed.
  static constexpr char kMeshedLabel[] = "byrnie.io/inject";
  static constexpr char kMeshedValue[] = "true";
  static constexpr absl::Duration kEvery = absl::Minutes(10);
  // While the roots of another mesh are there.
  static constexpr absl::Duration kWhileForeign = absl::Minutes(1);
  // How long the first write waits for a list of all bundles, which somebody may have no right to.
  static constexpr absl::Duration kForList = absl::Seconds(10);

  // One that cannot be looked at so often may as well be read by nobody, and others are written.
  static constexpr int kLooksBeforeOthers = 3;

  // What others do to bundles is put right once in so long, for whoever does it again and again.
  static constexpr absl::Duration kRepairAfter = absl::Seconds(1);

  // The pointers, and what `random` borrows, outlive it. `home` is a namespace that has the bundle
  // although it is not meshed; nothing is written there while it does not exist.
  TrustPublisher(std::string home, Informer<LabelledObject>* namespaces,
                 Informer<PublishedBundle>* bundles, ApiClient* client, EventLoop* loop,
                 absl::BitGenRef random, Logger* logger, MetricRegistry* metrics);
  TrustPublisher(const TrustPublisher&) = delete;
  TrustPublisher& operator=(const TrustPublisher&) = delete;

  // PEM. Nothing is published before the first one, and an empty one is none.
  void SetBundle(std::string pem);

  // The namespace whose foreign roots keep the bundle from being written anywhere; "": none does.
  // From any thread.
  std::string refused_by() const;
  // Namespaces that have had foreign roots within the last kEvery or two, in place of which ours
  // were written, in order. From any thread.
  std::vector<std::string> overwritten() const;
  // Namespaces in which the ConfigMap could not be looked at or written when that was last tried,
  // each with why, in order. From any thread.
  std::vector<std::string> unwritten() const;

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
  void Refuse(const std::string& because_of);
  // Whether a namespace is to have the bundle.
  bool IsWanted(const std::string& name, const LabelledObject& ns) const;
  bool IsWantedStill(const std::string& ns) const;
  // Whether this mesh has published in this cluster, now or before.
  bool IsEstablished();
  // A namespace with another mesh's roots and none of ours; "": there is none.
  std::string Foreigner() const;
  void OnOverwritten(const std::string& ns);
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

  const std::string home_;
  Informer<LabelledObject>* const namespaces_;  // Not owned.
  Informer<PublishedBundle>* const bundles_;    // Not owned.
  ApiClient* const client_;                     // Not owned.
  Logger* const logger_;                        // Not owned.
  Counter* const published_;
  Counter* const failed_;
  Counter* const refused_;
  Counter* const overwrites_;
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
  // Those that had the roots of another mesh when they were looked at.
  std::set<std::string> foreign_;
  bool established_ = false;
  // Since Refuse(), until all are looked at again.
  bool refusing_ = false;
  bool list_is_late_ = false;
  // Whose bundle somebody has changed or deleted since the last repair.
  std::set<std::string> lost_;
  std::map<std::string, Trouble> troubles_;
  // What was said last, by namespace; "": of the server as a whole.
  std::map<std::string, std::string> logged_;
  std::unique_ptr<EventLoop::Timer> next_;
  std::unique_ptr<EventLoop::Timer> again_;
  std::unique_ptr<EventLoop::Timer> repair_;
  std::unique_ptr<EventLoop::Timer> list_wait_;
  std::unique_ptr<ApiClient::Call> call_;
  mutable absl::Mutex mu_;
  std::string refused_by_ ABSL_GUARDED_BY(mu_);
  // When it was the last time, by the loop's Now().
  std::map<std::string, absl::Duration> overwritten_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> unwritten_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_TRUST_PUBLISHER_H_
