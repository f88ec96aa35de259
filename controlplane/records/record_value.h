#ifndef BYRNIE_CONTROLPLANE_RECORDS_RECORD_VALUE_H_
#define BYRNIE_CONTROLPLANE_RECORDS_RECORD_VALUE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "google/protobuf/timestamp.pb.h"

namespace byrnie {

// What is said of a record that cannot be right.
inline absl::Status DamagedRecord(absl::string_view key) {
  return absl::FailedPreconditionError(
      absl::StrCat("store: the record \"", key, "\" is damaged; restore the store from a backup"));
}

// A time of a record; absent where it is unset or no time.
inline absl::optional<absl::Time> RecordTime(bool set, const google::protobuf::Timestamp& time) {
  // Up to the year 9999.
  if (!set || time.seconds() < 0 || time.seconds() > 253'402'300'799 || time.nanos() < 0 ||
      time.nanos() >= 1'000'000'000) {
    return absl::nullopt;
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// A commit after which it is all right to do the same again: what is unknown becomes Unavailable,
// with what that means for the caller.
inline absl::Status UnknownAsUnavailable(const absl::Status& status, absl::string_view meaning) {
  if (!absl::IsUnknown(status)) return status;
  return absl::UnavailableError(absl::StrCat(status.message(), "; ", meaning));
}

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_RECORD_VALUE_H_
