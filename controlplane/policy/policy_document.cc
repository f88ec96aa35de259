#include "controlplane/policy/policy_document.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "common/net/socket_address.h"
#include "common/policy/policy_conversion.h"
#include "controlplane/registry/content_checker.h"
#include "controlplane/registry/policy_parser.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using istio::security::Clause;
using istio::security::Match;
using istio::security::Rule;
using istio::security::ServiceAccountMatch;
using istio::security::StringMatch;

absl::StatusOr<Authorization> Parse(absl::string_view text) {
  ASSIGN_OR_RETURN(JsonValue value, JsonValue::Parse(text, kMaxPolicyDocument));
  ASSIGN_OR_RETURN(Authorization policy, ParsePolicy(value));
  return policy;
}

void Write(const StringMatch& match, JsonWriter* json) {
  json->BeginObject();
  switch (match.match_type_case()) {
    case StringMatch::kExact:
      json->Field("exact", match.exact());
      break;
    case StringMatch::kPrefix:
      json->Field("prefix", match.prefix());
      break;
    case StringMatch::kSuffix:
      json->Field("suffix", match.suffix());
      break;
    case StringMatch::kPresence:
      json->Field("presence", true);
      break;
    case StringMatch::MATCH_TYPE_NOT_SET:
      break;
  }
  json->EndObject();
}

void Write(const istio::security::Address& block, JsonWriter* json) {
  const absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(block.address());
  json->Value(absl::StrCat(ip.ok() ? ip->ToString() : "", "/", block.length()));
}

void Write(uint32_t port, JsonWriter* json) { json->Value(port); }

void Write(const ServiceAccountMatch& account, JsonWriter* json) {
  json->BeginObject()
      .Field("namespace", account.namespace_())
      .Field("service_account", account.service_account())
      .EndObject();
}

void Write(const Match& match, JsonWriter* json);
void Write(const Clause& clause, JsonWriter* json);
void Write(const Rule& rule, JsonWriter* json);

template <typename List>
void WriteList(const char* name, const List& list, JsonWriter* json) {
  if (list.empty()) return;
  json->Key(name).BeginArray();
  for (const auto& value : list) Write(value, json);
  json->EndArray();
}

void Write(const Match& match, JsonWriter* json) {
  json->BeginObject();
  WriteList("namespaces", match.namespaces(), json);
  WriteList("not_namespaces", match.not_namespaces(), json);
  WriteList("principals", match.principals(), json);
  WriteList("not_principals", match.not_principals(), json);
  WriteList("source_ips", match.source_ips(), json);
  WriteList("not_source_ips", match.not_source_ips(), json);
  WriteList("destination_ips", match.destination_ips(), json);
  WriteList("not_destination_ips", match.not_destination_ips(), json);
  WriteList("destination_ports", match.destination_ports(), json);
  WriteList("not_destination_ports", match.not_destination_ports(), json);
  WriteList("service_accounts", match.service_accounts(), json);
  WriteList("not_service_accounts", match.not_service_accounts(), json);
  json->EndObject();
}

void Write(const Clause& clause, JsonWriter* json) {
  json->BeginObject();
  WriteList("matches", clause.matches(), json);
  json->EndObject();
}

void Write(const Rule& rule, JsonWriter* json) {
  json->BeginObject();
  WriteList("clauses", rule.clauses(), json);
  json->EndObject();
}

}  // namespace

absl::StatusOr<Authorization> ParsePolicyDocument(absl::string_view text) {
  if (text.empty()) return InvalidField("document", "is empty; give a policy as JSON");
  absl::StatusOr<Authorization> policy = Parse(text);
  if (!policy.ok()) return InvalidDocument("document", policy.status());
  const absl::Status checked = CheckEntry(*policy);
  if (!checked.ok()) return InvalidField("document", checked.message());
  // What the proxies would say: a policy that they reject would stop all updates of policies.
  const absl::Status converted = ConvertPolicy(*policy).status();
  if (!converted.ok()) return InvalidField("document", converted.message());
  return policy;
}

std::string WritePolicyDocument(const Authorization& policy) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject()
      .Field("name", policy.name())
      .Field("namespace", policy.namespace_())
      .Field("scope", istio::security::Scope_Name(policy.scope()))
      .Field("action", istio::security::Action_Name(policy.action()));
  if (policy.dry_run()) json.Field("dry_run", true);
  WriteList("rules", policy.rules(), &json);
  json.EndObject();
  return std::move(json).Finish();
}

}  // namespace byrnie
