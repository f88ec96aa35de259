#include "common/identity/revocation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/utc_text.h"
#include "common/identity/svid_rules.h"

namespace byrnie {
namespace {

absl::Status CheckOne(const Certificate& certificate, const Certificate& issuer,
                      const std::vector<RevocationListPtr>& lists, absl::Time now) {
  bool known = false, current = false;
  absl::Time latest_end = absl::InfinitePast();
  for (const RevocationListPtr& list : lists) {
    if (!list->IsIssuedBy(issuer)) continue;
    if (list->Lists(certificate)) {
      return absl::PermissionDeniedError(
          absl::StrCat(NameOf(certificate), " (serial ", certificate.SerialHex(),
                       ") is revoked by its issuer's list of ", UtcText(list->this_update())));
    }
    known = true;
    latest_end = std::max(latest_end, list->next_update());
    current =
        current || (list->this_update() <= now + kRevocationClockSkew && now < list->next_update());
  }
  if (current) return absl::OkStatus();
  const std::string unknown = absl::StrCat(NameOf(certificate), " may be revoked, nobody knows: ");
  if (!known) {
    return absl::UnauthenticatedError(absl::StrCat(
        unknown, "there are revocation lists, but none of its issuer ", NameOf(issuer)));
  }
  if (latest_end > now) {
    return absl::UnauthenticatedError(
        absl::StrCat(unknown,
                     "the revocation list of its issuer begins later; is the clock of this machine "
                     "behind?"));
  }
  return absl::UnauthenticatedError(absl::StrCat(unknown,
                                                 "the revocation list of its issuer ended ",
                                                 absl::ToInt64Seconds(now - latest_end), " s ago"));
}

}  // namespace

absl::Status CheckRevocation(const std::vector<const Certificate*>& path,
                             const std::vector<RevocationListPtr>& lists, absl::Time now) {
  if (lists.empty()) return absl::OkStatus();
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const absl::Status status = CheckOne(*path[i], *path[i + 1], lists, now);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace byrnie
