#ifndef BYRNIE_COMMON_BASE_RETRY_AFTER_H_
#define BYRNIE_COMMON_BASE_RETRY_AFTER_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// An error may say when it is worth trying again, as google.rpc.RetryInfo does on the wire. It is
// carried beside the message, and lost where only that is copied.

// `status` is an error; `delay` is not negative.
void SetRetryAfter(absl::Status* status, absl::Duration delay);
// Absent when the error does not say.
absl::optional<absl::Duration> RetryAfter(const absl::Status& status);
void ClearRetryAfter(absl::Status* status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_RETRY_AFTER_H_
