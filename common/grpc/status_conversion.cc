#include "common/grpc/status_conversion.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/retry_after.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace byrnie {
namespace {

// Whatever a server says beyond is as good as this.
constexpr absl::Duration kLongest = absl::Hours(24);

// What is not a time from now on is no answer.
absl::optional<absl::Duration> Sane(absl::Duration delay) {
  if (delay < absl::ZeroDuration()) return absl::nullopt;
  return std::min(delay, kLongest);
}

absl::optional<absl::Duration> FromDetails(const std::string& details) {
  google::rpc::Status status;
  if (details.empty() || !status.ParseFromString(details)) return absl::nullopt;
  for (const google::protobuf::Any& detail : status.details()) {
    google::rpc::RetryInfo info;
    if (!detail.Is<google::rpc::RetryInfo>() || !detail.UnpackTo(&info)) continue;
    if (!info.has_retry_delay()) continue;
    return Sane(absl::Seconds(info.retry_delay().seconds()) +
                absl::Nanoseconds(info.retry_delay().nanos()));
  }
  return absl::nullopt;
}

absl::optional<absl::Duration> FromMetadata(const grpc::ClientContext& context) {
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto found = trailing.find("retry-after");
  if (found == trailing.end()) return absl::nullopt;
  double seconds;
  // HTTP's other form, a date, would be judged by two clocks.
  if (!absl::SimpleAtod(absl::string_view(found->second.data(), found->second.size()), &seconds) ||
      !std::isfinite(seconds)) {
    return absl::nullopt;
  }
  return Sane(absl::Seconds(seconds));
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  absl::Status converted(static_cast<absl::StatusCode>(status.error_code()),
                         status.error_message());
  if (converted.ok()) return converted;
  const absl::optional<absl::Duration> delay = FromDetails(status.error_details());
  if (delay.has_value()) SetRetryAfter(&converted, *delay);
  return converted;
}

absl::Status FromGrpcCall(const grpc::Status& status, const grpc::ClientContext& context) {
  absl::Status converted = FromGrpcStatus(status);
  if (converted.ok() || RetryAfter(converted).has_value()) return converted;
  const absl::optional<absl::Duration> delay = FromMetadata(context);
  if (delay.has_value()) SetRetryAfter(&converted, *delay);
  return converted;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const absl::optional<absl::Duration> delay = RetryAfter(status);
  if (!delay.has_value()) return grpc::Status(code, message);
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(*delay));
  info.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(*delay % absl::Seconds(1))));
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(info);
  return grpc::Status(code, message, details.SerializeAsString());
}

}  // namespace byrnie
