#include "ctl/status_text.h"

#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "ctl/table.h"

namespace byrnie {

using byrnie::operator_::v1::Agent;
using byrnie::operator_::v1::Condition;
using byrnie::operator_::v1::GetStatusResponse;

namespace {

const char* StateText(Condition::State state) {
  switch (state) {
    case Condition::STATE_OK:
      return "ok";
    case Condition::STATE_FAIL:
      return "fail";
    default:
      return "warn";
  }
}

// Those that are not as they should be; empty: all are.
std::string ConditionsText(const GetStatusResponse& status) {
  std::vector<std::vector<std::string>> rows;
  for (const Condition& condition : status.conditions()) {
    if (condition.state() == Condition::STATE_OK) continue;
    rows.push_back(
        {absl::AsciiStrToUpper(StateText(condition.state())), condition.name(),
         absl::StrCat("for ", ShortDuration(TimeOf(status.time()) - TimeOf(condition.since()))),
         Printable(condition.message())});
  }
  return rows.empty() ? "" : absl::StrCat("\n", Table(rows));
}

}  // namespace

std::string RoleText(byrnie::operator_::v1::Role role) {
  switch (role) {
    case byrnie::operator_::v1::ROLE_VIEWER:
      return "viewer";
    case byrnie::operator_::v1::ROLE_OPERATOR:
      return "operator";
    case byrnie::operator_::v1::ROLE_ADMIN:
      return "admin";
    default:
      return "of an unknown role";
  }
}

std::string StatusText(const GetStatusResponse& status, absl::string_view target, absl::Time now) {
  std::string text =
      Table({{"control plane",
              absl::StrCat(target, status.release().empty() ? "" : ", release ", status.release())},
             {"you are", absl::StrCat(status.caller(), ", ", RoleText(status.caller_role()))},
             {"trust domain", status.trust_domain()},
             {"root certificate", Expiry(TimeOf(status.root_not_after()), now)},
             {"", absl::StrCat("SHA-256 ", status.root_fingerprint())},
             {"trust bundle", absl::StrCat("version ", status.trust_bundle_version())},
             {"registry", absl::StrCat(Plural(status.workloads(), "workload"), ", ",
                                       Plural(status.services(), "service"), ", ",
                                       Plural(status.policies(), "policy"))},
             {"issued", absl::StrCat(Plural(status.certificates_issued(), "certificate"),
                                     " since the start")}});
  absl::StrAppend(&text, ConditionsText(status));
  if (status.agents().empty()) return absl::StrCat(text, "\nno agent is connected\n");

  std::vector<std::vector<std::string>> rows = {
      {"AGENT", "ADDRESS", "CONNECTED", "CERTIFICATE", "TRUST BUNDLE"}};
  for (const Agent& agent : status.agents()) {
    const uint64_t acknowledged = agent.acknowledged_bundle_version();
    rows.push_back(
        {agent.spiffe_id(), agent.address(),
         absl::StrCat("for ", ShortDuration(now - TimeOf(agent.connected_since()))),
         agent.has_certificate_not_after() ? Expiry(TimeOf(agent.certificate_not_after()), now)
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
  json.Field("caller", status.caller());
  json.Field("caller_role", RoleText(status.caller_role()));
  json.Field("release", status.release());
  json.Key("conditions").BeginArray();
  for (const Condition& condition : status.conditions()) {
    json.BeginObject();
    json.Field("name", condition.name());
    json.Field("state", StateText(condition.state()));
    json.Field("message", condition.message());
    json.Field("remedy", condition.remedy());
    json.Field("since", Rfc3339(condition.since()));
    json.EndObject();
  }
  json.EndArray();
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
