#include "common/http/same_user_guard.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace byrnie {

absl::Status SameUserGuard::Check(const HttpRequest& request) const {
  const absl::StatusOr<uid_t> owner = owners_->Find(request.peer, request.local);
  if (owner.ok() && (*owner == 0 || *owner == user_)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "refused: ",
      owner.ok()
          ? absl::StrCat("this connection was made by uid ", *owner)
          : absl::StrCat("who made this connection is not known: ", owner.status().message()),
      "; POST is for root and uid ", user_,
      ", so run this as one of them, for example inside the container of this process"));
}

}  // namespace byrnie
