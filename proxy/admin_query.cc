#include "proxy/admin_query.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "proxy/reason_set.h"

namespace byrnie {
namespace {

constexpr size_t kMaxQuoted = 64;

absl::Status NotUnderstood(absl::string_view name, absl::string_view value,
                           absl::string_view remedy) {
  return absl::InvalidArgumentError(
      absl::StrCat(name.substr(0, kMaxQuoted), "=", value.substr(0, kMaxQuoted), ": ", remedy));
}

absl::StatusOr<AccessRecord::Direction> ToDirection(absl::string_view value) {
  for (const auto direction :
       {AccessRecord::Direction::kInbound, AccessRecord::Direction::kOutbound}) {
    if (value == NameOf(direction)) return direction;
  }
  return NotUnderstood("direction", value, "give inbound or outbound");
}

absl::StatusOr<AccessRecord::Result> ToResult(absl::string_view value) {
  for (const auto result : {AccessRecord::Result::kAllowed, AccessRecord::Result::kDenied,
                            AccessRecord::Result::kFailed}) {
    if (value == NameOf(result)) return result;
  }
  return NotUnderstood("result", value, "give allowed, denied or failed");
}

absl::StatusOr<size_t> ToLimit(absl::string_view value, size_t most) {
  uint32_t limit = 0;
  if (!absl::SimpleAtoi(value, &limit) || limit == 0 || limit > most) {
    return NotUnderstood("limit", value, absl::StrCat("give 1 to ", most));
  }
  return limit;
}

}  // namespace

absl::StatusOr<Connection::Filter> ParseConnectionQuery(const HttpRequest& request) {
  Connection::Filter filter;
  for (const auto& [name, value] : request.query) {
    if (name == "direction") {
      ASSIGN_OR_RETURN(filter.direction, ToDirection(value));
    } else if (name == "peer") {
      filter.peer = value;
    } else if (name == "limit") {
      ASSIGN_OR_RETURN(filter.limit, ToLimit(value, Connection::Filter().limit));
    } else {
      return NotUnderstood(name, value, "there are direction, peer and limit");
    }
  }
  return filter;
}

absl::StatusOr<FlightRecorder::Filter> ParseRecorderQuery(const HttpRequest& request) {
  FlightRecorder::Filter filter;
  for (const auto& [name, value] : request.query) {
    if (name == "direction") {
      ASSIGN_OR_RETURN(filter.direction, ToDirection(value));
    } else if (name == "peer") {
      filter.peer = value;
    } else if (name == "limit") {
      ASSIGN_OR_RETURN(filter.limit, ToLimit(value, FlightRecorder::kCapacity));
    } else if (name == "result") {
      ASSIGN_OR_RETURN(filter.result, ToResult(value));
    } else if (name == "reason") {
      if (KnownReason(value).empty()) {
        return NotUnderstood(name, value, "no such reason; see docs/operations.md");
      }
      filter.reason = value;
    } else if (name == "slow") {
      if (!absl::ParseDuration(value, &filter.slow) || filter.slow < absl::ZeroDuration()) {
        return NotUnderstood(name, value, "give a duration, for example 100ms");
      }
    } else {
      return NotUnderstood(name, value,
                           "there are direction, peer, reason, result, slow and limit");
    }
  }
  return filter;
}

}  // namespace byrnie
