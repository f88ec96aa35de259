#include "ctl/status_text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::Agent;
using byrnie::operator_::v1::GetStatusResponse;

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string Rfc3339(const google::protobuf::Timestamp& time) {
  return absl::FormatTime(absl::RFC3339_sec, FromProto(time), absl::UTCTimeZone());
}

std::string Expiry(absl::Time not_after, absl::Time now) {
  if (not_after > now) return absl::StrCat("expires in ", ShortDuration(not_after - now));
  return absl::StrCat("EXPIRED ", ShortDuration(now - not_after), " ago");
}

std::string Plural(uint64_t count, absl::string_view one) {
  if (count == 1) return absl::StrCat("1 ", one);
  if (one == "policy") return absl::StrCat(count, " policies");
  return absl::StrCat(count, " ", one, "s");
}

// Columns as wide as their widest cell, two spaces between, nothing after the last.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, row[i]);
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text.push_back('\n');
  }
  return text;
}

}  // namespace

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  if (days >= 3) return absl::StrCat(days, " d");
  if (days >= 1) return absl::StrCat(days, " d ", hours % 24, " h");
  if (hours >= 1) return absl::StrCat(hours, " h ", minutes % 60, " min");
  if (minutes >= 1) return absl::StrCat(minutes, " min ", seconds % 60, " s");
  return absl::StrCat(seconds, " s");
}

std::string StatusText(const GetStatusResponse& status, absl::string_view target, absl::Time now) {
  std::string text =
      Table({{"control plane", std::string(target)},
             {"trust domain", status.trust_domain()},
             {"root certificate", Expiry(FromProto(status.root_not_after()), now)},
             {"", absl::StrCat("SHA-256 ", status.root_fingerprint())},
             {"trust bundle", absl::StrCat("version ", status.trust_bundle_version())},
             {"registry", absl::StrCat(Plural(status.workloads(), "workload"), ", ",
                                       Plural(status.services(), "service"), ", ",
                                       Plural(status.policies(), "policy"))},
             {"issued", absl::StrCat(Plural(status.certificates_issued(), "certificate"),
                                     " since the start")}});
  if (status.agents().empty()) return absl::StrCat(text, "\nno agent is connected\n");

  std::vector<std::vector<std::string>> rows = {
      {"AGENT", "ADDRESS", "CONNECTED", "CERTIFICATE", "TRUST BUNDLE"}};
  for (const Agent& agent : status.agents()) {
    const uint64_t acknowledged = agent.acknowledged_bundle_version();
    rows.push_back(
        {agent.spiffe_id(), agent.address(),
         absl::StrCat("for ", ShortDuration(now - FromProto(agent.connected_since()))),
         agent.has_certificate_not_after() ? Expiry(FromProto(agent.certificate_not_after()), now)
                                           : "not issued since the start",
         acknowledged == 0                               ? "not acknowledged"
         : acknowledged == status.trust_bundle_version() ? "current"
                                                         : absl::StrCat("version ", acknowledged)});
  }
  return absl::StrCat(text, "\n", Plural(status.agents_size(), "agent"), " connected\n",
                      Table(rows));
}

std::string StatusJson(const GetStatusResponse& status) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject();
  json.Field("trust_domain", status.trust_domain());
  json.Field("root_not_after", Rfc3339(status.root_not_after()));
  json.Field("root_fingerprint", status.root_fingerprint());
  json.Field("trust_bundle_version", status.trust_bundle_version());
  json.Field("certificates_issued", status.certificates_issued());
  json.Field("workloads", status.workloads());
  json.Field("services", status.services());
  json.Field("policies", status.policies());
  json.Key("agents").BeginArray();
  for (const Agent& agent : status.agents()) {
    json.BeginObject();
    json.Field("spiffe_id", agent.spiffe_id());
    json.Field("address", agent.address());
    json.Field("connected_since", Rfc3339(agent.connected_since()));
    if (agent.has_certificate_not_after()) {
      json.Field("certificate_not_after", Rfc3339(agent.certificate_not_after()));
      json.Field("certificate_serial", agent.certificate_serial());
    }
    json.Field("acknowledged_bundle_version", agent.acknowledged_bundle_version());
    json.EndObject();
  }
  json.EndArray().EndObject();
  return std::move(json).Finish() + "\n";
}

}  // namespace byrnie
