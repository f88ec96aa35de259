#ifndef BYRNIE_CONTROLPLANE_ATTEST_KUBERNETES_ATTESTOR_H_
#define BYRNIE_CONTROLPLANE_ATTEST_KUBERNETES_ATTESTOR_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/crypto/token/compact_jwt.h"
#include "common/identity/spiffe_id.h"
#include "common/telemetry/metrics.h"
#include "controlplane/attest/attestor.h"
#include "controlplane/attest/pod_binding.h"
#include "controlplane/attest/review_limiter.h"
#include "controlplane/attest/token_review.h"
#include "controlplane/attest/token_signatures.h"
#include "controlplane/attest/verdict_memory.h"
#include "controlplane/kubernetes/pod_lookup.h"

namespace byrnie {

// Takes the tokens that kubelets project into pods, as the API server's TokenReview judges them: of
// our audience, which its answer must name, and bound to a pod. A token without a pod is refused:
// whoever may make tokens of an account could be anywhere, and it outlives every pod.
//
// Verdicts are remembered for a short while, so that an agent that comes again does not cost
// another review, and so that a bad one cannot have us ask again and again.
//
// A token that was made by nobody who has the API server's keys costs no review, and where that
// cannot be told a source has a share in reviews, so that whoever reaches the control plane can
// neither have it ask as much as he likes nor keep others out.
//
// While the API server cannot be asked, `fallback` judges, which knows the keys alone: a token is
// taken until it expires. That a caller did not wait for the server is none of its outages. One
// whose pod is known to be gone is refused whatever the server, the memory or the keys say.
// A good one is held against its pod (PodBinding) each time that somebody shows it. Thread-safe;
// the pointers outlive it.
class KubernetesAttestor final : public Attestor {
 public:
  // A longer token is not looked at.
  static constexpr size_t kMaxSize = 16 * 1024;

  struct Options {
    std::string trust_domain;
    // One of them at least is in the token.
    std::vector<std::string> audiences;
    absl::Duration remember_good = absl::Seconds(30);
    absl::Duration remember_bad = absl::Seconds(10);
    // Of good ones, and of bad ones.
    size_t max_remembered = 20000;
    // Reviews that may wait for the API server; more are Unavailable at once. A token is proven
    // where `signatures` says that its signature is right.
    ReviewLimiter::Options reviews;
    // How long one waits at most.
    absl::Duration patience = absl::Seconds(5);
    // Outlives the attestor. Null: nothing is known of any pod.
    const PodLookup* pods = nullptr;
    PodAddressRule pod_address = PodAddressRule::kRecord;
    // Told of a token that is taken although it does not come from its pod; thread-safe. Empty:
    // nobody.
    std::function<void(const SpiffeId& id, absl::string_view why)> on_other_address;
    // What the API server's keys say of a signature. Outlives the attestor. Null: nothing.
    const TokenSignatures* signatures = nullptr;
    // Told of a token by a key that `signatures` does not know; thread-safe. Empty: nobody.
    std::function<void()> on_unknown_key;
  };

  // `fallback` may be null: then nothing is taken while the API server is away.
  KubernetesAttestor(Options options, TokenReviewer* reviewer, Attestor* fallback,
                     const Clock* clock, MetricRegistry* metrics);

  absl::string_view name() const override { return "kubernetes"; }
  // NotFound: no token of a service account. DeadlineExceeded: the caller's deadline came before
  // the API server's verdict.
  absl::StatusOr<Claim> Check(absl::string_view credential, const Caller& caller) override;
  absl::Status Redeem(const Claim&) override { return absl::OkStatus(); }

 private:
  using Memory = VerdictMemory<PodBinding::Holder>;
  using Verdict = Memory::Verdict;

  absl::Status CheckNotGone(absl::string_view pod_uid) const;
  Verdict Ask(absl::string_view credential, absl::Time deadline);
  Verdict Judge(const TokenReview& review) const;
  // `pod` is the one that the token names.
  absl::StatusOr<Claim> CheckOffline(absl::string_view credential, const PodBinding::TokenPod& pod,
                                     const Caller& caller, const absl::Status& why);
  // What is made of a good token that `caller` shows.
  absl::StatusOr<Claim> Bind(const PodBinding::Holder& holder, std::string proof,
                             const Caller& caller) const;
  // Null: nothing, or no more. Until the next call.
  const Verdict* Recall(const std::string& hash) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remember(const std::string& hash, const Verdict& verdict, absl::Time token_end);

  const Options options_;
  const PodBinding binding_;
  TokenReviewer* const reviewer_;  // Not owned.
  Attestor* const fallback_;       // Not owned; may be null.
  const Clock* const clock_;       // Not owned.
  Counter* const asked_;
  Counter* const remembered_count_;
  Counter* const offline_;
  Counter* const sent_away_;

  absl::Mutex mu_;
  ReviewLimiter limiter_ ABSL_GUARDED_BY(mu_);
  // Apart, so that no number of bad ones makes a good one cost a review each time.
  Memory good_ ABSL_GUARDED_BY(mu_);
  Memory bad_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_KUBERNETES_ATTESTOR_H_
