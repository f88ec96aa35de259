#include "common/base/retry_after.h"

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

// Nanoseconds, decimal. Of this process alone.
constexpr char kPayload[] = "byrnie/retry-after-ns";

}  // namespace

void SetRetryAfter(absl::Status* status, absl::Duration delay) {
  status->SetPayload(kPayload, absl::Cord(absl::StrCat(absl::ToInt64Nanoseconds(delay))));
}

absl::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  int64_t nanoseconds;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &nanoseconds)) {
    return absl::nullopt;
  }
  return absl::Nanoseconds(nanoseconds);
}

void ClearRetryAfter(absl::Status* status) { status->ErasePayload(kPayload); }

}  // namespace byrnie
