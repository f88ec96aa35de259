#include "proxy/access_record.h"

#include "absl/strings/string_view.h"
#include "common/base/utc_text.h"
#include "common/telemetry/json_text.h"

namespace byrnie {
namespace {

constexpr size_t kMaxDetailSize = 256;

void AddUnlessEmpty(absl::string_view name, absl::string_view value, JsonLine* line) {
  if (!value.empty()) line->Add(name, value);
}

// Whole microseconds, so that the number does not show a double's rounding.
double Milliseconds(absl::Duration duration) {
  return static_cast<double>(absl::ToInt64Microseconds(duration)) / 1000;
}

}  // namespace

absl::string_view NameOf(AccessRecord::Direction direction) {
  switch (direction) {
    case AccessRecord::Direction::kInbound:
      return "inbound";
    case AccessRecord::Direction::kOutbound:
      return "outbound";
  }
  return "unknown";
}

absl::string_view NameOf(AccessRecord::Protocol protocol) {
  switch (protocol) {
    case AccessRecord::Protocol::kHbone:
      return "hbone";
    case AccessRecord::Protocol::kMtls:
      return "mtls";
    case AccessRecord::Protocol::kTls:
      return "tls";
    case AccessRecord::Protocol::kPlaintext:
      return "plaintext";
    case AccessRecord::Protocol::kProbe:
      return "probe";
  }
  return "unknown";
}

absl::string_view NameOf(AccessRecord::Result result) {
  switch (result) {
    case AccessRecord::Result::kAllowed:
      return "allowed";
    case AccessRecord::Result::kDenied:
      return "denied";
    case AccessRecord::Result::kFailed:
      return "failed";
  }
  return "unknown";
}

absl::string_view NameOf(AccessRecord::Route route) {
  switch (route) {
    case AccessRecord::Route::kNone:
      return "none";
    case AccessRecord::Route::kTunnel:
      return "tunnel";
    case AccessRecord::Route::kDirect:
      return "direct";
    case AccessRecord::Route::kPassthrough:
      return "passthrough";
    case AccessRecord::Route::kLocal:
      return "local";
  }
  return "unknown";
}

std::string ToJson(const AccessRecord& record) {
  const absl::string_view reason = record.reason;
  const size_t space = reason.find(' ');
  const absl::string_view policy =
      space == absl::string_view::npos ? absl::string_view() : reason.substr(space + 1);

  const bool ended = record.event == AccessRecord::Event::kClose;

  JsonLine line;
  line.Add("log", "access");
  line.Add("event", ended ? "close" : "open");
  AddUnlessEmpty("connection", record.connection, &line);
  line.Add("time", UtcMillisText(record.start));
  line.Add("direction", NameOf(record.direction));
  if (ended) {
    line.Add("result", NameOf(record.result));
    line.Add("reason", reason.substr(0, space));
  }
  AddUnlessEmpty("policy", policy, &line);
  AddUnlessEmpty("peer_reason", record.peer_reason, &line);
  AddUnlessEmpty("admitted_by", record.admitted_by, &line);
  AddUnlessEmpty("detail", absl::string_view(record.detail).substr(0, kMaxDetailSize), &line);
  line.Add("source", record.source.ToString());
  if (record.destination.has_value()) line.Add("destination", record.destination->ToString());
  line.Add("original_destination", record.original_destination.ToString());
  AddUnlessEmpty("service", record.service, &line);
  if (record.attempts > 1) line.Add("attempts", static_cast<int64_t>(record.attempts));
  AddUnlessEmpty("last_failure", absl::string_view(record.last_failure).substr(0, kMaxDetailSize),
                 &line);
  AddUnlessEmpty("lookup_failure", record.lookup_failure, &line);
  line.Add("route", NameOf(record.route));
  line.Add("protocol", NameOf(record.protocol));
  if (record.peer_identity.has_value()) line.Add("peer_identity", record.peer_identity->text());
  if (record.own_identity.has_value()) line.Add("own_identity", record.own_identity->text());
  AddUnlessEmpty("trace_id", record.trace_id, &line);
  AddUnlessEmpty("claimed_workload", record.claimed_workload, &line);
  if (record.forwarded_for.has_value()) {
    line.Add("forwarded_for", record.forwarded_for->ToString());
  }
  AddUnlessEmpty("tls_version", record.tls_version, &line);
  AddUnlessEmpty("tls_cipher", record.tls_cipher, &line);
  AddUnlessEmpty("tls_group", record.tls_group, &line);
  if (ended) {
    line.Add("bytes_sent", record.bytes_sent);
    line.Add("bytes_received", record.bytes_received);
    line.Add("duration_ms", Milliseconds(record.duration));
  }
  for (size_t i = 0; i < StageTimes::kStages; ++i) {
    const auto stage = static_cast<StageTimes::Stage>(i);
    const absl::optional<absl::Duration> took = record.stages.Get(stage);
    if (took.has_value()) line.Add(StageTimes::FieldOf(stage), Milliseconds(*took));
  }
  return line.Finish();
}

}  // namespace byrnie
