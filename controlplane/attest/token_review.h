#ifndef BYRNIE_CONTROLPLANE_ATTEST_TOKEN_REVIEW_H_
#define BYRNIE_CONTROLPLANE_ATTEST_TOKEN_REVIEW_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/event/event_loop.h"
#include "controlplane/kubernetes/api_client.h"

namespace byrnie {

// What the API server says of a token (authentication.k8s.io/v1 TokenReview).
struct TokenReview {
  bool authenticated = false;
  // Of those asked for, the ones that the token is for.
  std::vector<std::string> audiences;
  std::string username;
  // What the token is bound to; empty: to none.
  std::string pod_name, pod_uid, node_name;
  // Why it is not authenticated, for the operator.
  std::string error;
};

// The object to post.
std::string WriteTokenReview(absl::string_view token, const std::vector<std::string>& audiences);
// InvalidArgument for an answer that is no TokenReview with a status.
absl::StatusOr<TokenReview> ParseTokenReview(absl::string_view json);

// Has tokens reviewed. Thread-safe; holds the caller's thread.
class TokenReviewer {
 public:
  virtual ~TokenReviewer() = default;
  // By the deadline. Unavailable: it cannot be told now.
  virtual absl::StatusOr<TokenReview> Review(absl::string_view token,
                                             const std::vector<std::string>& audiences,
                                             absl::Time deadline) = 0;
};

// By the API server. Created and destroyed on `loop`, or while it does not run; Review() is called
// from any other thread.
class ApiTokenReviewer final : public TokenReviewer {
 public:
  // The pointers outlive it, and callers of Review().
  ApiTokenReviewer(ApiClient* client, EventLoop* loop, const Clock* clock);
  ~ApiTokenReviewer() override;

  absl::StatusOr<TokenReview> Review(absl::string_view token,
                                     const std::vector<std::string>& audiences,
                                     absl::Time deadline) override;

 private:
  struct Asked;
  void Ask(const std::shared_ptr<Asked>& asked);

  ApiClient* const client_;   // Not owned.
  EventLoop* const loop_;     // Not owned.
  const Clock* const clock_;  // Not owned.
  // Under way; of the loop.
  std::set<std::shared_ptr<Asked>> under_way_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_TOKEN_REVIEW_H_
