#ifndef BYRNIE_COMMON_HTTP_SAME_USER_GUARD_H_
#define BYRNIE_COMMON_HTTP_SAME_USER_GUARD_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "common/http/http_message.h"
#include "common/http/http_router.h"
#include "common/net/socket_owner.h"

namespace byrnie {

// Lets root and one user change something, and nobody else: the loopback address is shared by all
// processes of a pod, the application included. For servers on loopback only. Whoever cannot be
// told is refused. Thread-safe.
class SameUserGuard final : public MutationGuard {
 public:
  // `owners` outlives this.
  SameUserGuard(const SocketOwners* owners, uid_t user) : owners_(owners), user_(user) {}

  // PermissionDenied, with what to do about it.
  absl::Status Check(const HttpRequest& request) const override;

 private:
  const SocketOwners* const owners_;  // Not owned.
  const uid_t user_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP_SAME_USER_GUARD_H_
