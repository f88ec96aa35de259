#include "common/grpc/status_conversion.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/retry_after.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace byrnie {
namespace {

// Payloads named so are details for others, see error_details.h.
constexpr absl::string_view kTypeUrlPrefix = "type.googleapis.com/";

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
  google::rpc::Status details;
  const absl::optional<absl::Duration> delay = RetryAfter(status);
  if (delay.has_value()) {
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(*delay));
    info.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(*delay % absl::Seconds(1))));
    details.add_details()->PackFrom(info);
  }
  status.ForEachPayload([&details](absl::string_view type_url, const absl::Cord& payload) {
    if (!absl::StartsWith(type_url, kTypeUrlPrefix)) return;
    google::protobuf::Any* const detail = details.add_details();
    detail->set_type_url(std::string(type_url));
    detail->set_value(std::string(payload));
  });
  if (details.details().empty()) return grpc::Status(code, message);
  details.set_code(code);
  details.set_message(message);
  return grpc::Status(code, message, details.SerializeAsString());
}

void AddDetails(const grpc::Status& from, absl::Status* to) {
  google::rpc::Status status;
  if (from.error_details().empty() || !status.ParseFromString(from.error_details())) return;
  for (const google::protobuf::Any& detail : status.details()) {
    if (detail.Is<google::rpc::BadRequest>() || detail.Is<google::rpc::PreconditionFailure>() ||
        detail.Is<google::rpc::ResourceInfo>()) {
      to->SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
}

}  // namespace byrnie
