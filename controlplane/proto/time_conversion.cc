#include "controlplane/proto/time_conversion.h"

#include <algorithm>
#include <cstdint>

namespace byrnie {

void ToProto(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void ToProto(absl::Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(absl::ToInt64Seconds(duration));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration % absl::Seconds(1))));
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  constexpr int64_t kFirst = -62'135'596'800, kLast = 253'402'300'799;  // Years 1 to 9999.
  const int64_t seconds = std::min(std::max(time.seconds(), kFirst), kLast);
  const int32_t nanos = std::min(std::max(time.nanos(), 0), 999'999'999);
  return absl::FromUnixSeconds(seconds) + absl::Nanoseconds(nanos);
}

absl::StatusOr<absl::Duration> FromProto(const google::protobuf::Duration& duration) {
  constexpr int64_t kMaxSeconds = 315'576'000'000;  // 10 000 years.
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  if (seconds < -kMaxSeconds || seconds > kMaxSeconds || nanos <= -1'000'000'000 ||
      nanos >= 1'000'000'000 || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
    return absl::InvalidArgumentError("a duration is outside the range of its type");
  }
  return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
}

}  // namespace byrnie
