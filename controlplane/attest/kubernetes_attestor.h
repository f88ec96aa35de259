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
#include "common/telemetry/metrics.h"
#include "controlplane/attest/attestor.h"
#include "controlplane/attest/review_limiter.h"
#include "controlplane/attest/token_review.h"
#include "controlplane/attest/token_signatures.h"
#include "controlplane/attest/verdict_memory.h"

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
// Thread-safe; the pointers outlive it.
class KubernetesAttestor final : public Attestor {
 public:
  // A longer token is not looked at.
  static constexpr size_t kMaxSize = 16 * 1024;

  // What is known of the pod of that uid, from elsewhere.
  enum class PodState { kUnknown, kHere, kGone };
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
    // Thread-safe. Empty: nothing is known.
    std::function<PodState(absl::string_view uid)> pod_state;
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
  absl::Status CheckNotGone(absl::string_view pod_uid) const;
  absl::StatusOr<Claim> Ask(absl::string_view credential, absl::Time deadline);
  absl::StatusOr<Claim> Judge(const TokenReview& review) const;
  absl::StatusOr<Claim> CheckOffline(absl::string_view credential, absl::string_view pod_uid,
                                     const Caller& caller, const absl::Status& why);
  // Null: nothing, or no more. Until the next call.
  const VerdictMemory::Verdict* Recall(const std::string& hash) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remember(const std::string& hash, const absl::StatusOr<Claim>& verdict,
                absl::Time token_end);

  const Options options_;
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
  VerdictMemory good_ ABSL_GUARDED_BY(mu_);
  VerdictMemory bad_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_KUBERNETES_ATTESTOR_H_
