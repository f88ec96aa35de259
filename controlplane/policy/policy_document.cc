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

class RuleWriter {
 public:
  RuleWriter(const PolicyNames& names, JsonWriter* json) : n_(names), json_(json) {}

  template <typename List>
  void WriteList(const char* name, const List& list) {
    if (list.empty()) return;
    json_->Key(name).BeginArray();
    for (const auto& value : list) Write(value);
    json_->EndArray();
  }

 private:
  void Write(const StringMatch& match) {
    json_->BeginObject();
    switch (match.match_type_case()) {
      case StringMatch::kExact:
        json_->Field("exact", match.exact());
        break;
      case StringMatch::kPrefix:
        json_->Field("prefix", match.prefix());
        break;
      case StringMatch::kSuffix:
        json_->Field("suffix", match.suffix());
        break;
      case StringMatch::kPresence:
        json_->Field("presence", true);
        break;
      case StringMatch::MATCH_TYPE_NOT_SET:
        break;
    }
    json_->EndObject();
  }

  void Write(const istio::security::Address& block) {
    const absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(block.address());
    json_->Value(absl::StrCat(ip.ok() ? ip->ToString() : "", "/", block.length()));
  }

  void Write(uint32_t port) { json_->Value(port); }

  void Write(const ServiceAccountMatch& account) {
    json_->BeginObject()
        .Field("namespace", account.namespace_())
        .Field(n_.service_account, account.service_account())
        .EndObject();
  }

  void Write(const Match& match) {
    json_->BeginObject();
    WriteList("namespaces", match.namespaces());
    WriteList(n_.not_namespaces, match.not_namespaces());
    WriteList("principals", match.principals());
    WriteList(n_.not_principals, match.not_principals());
    WriteList(n_.source_ips, match.source_ips());
    WriteList(n_.not_source_ips, match.not_source_ips());
    WriteList(n_.destination_ips, match.destination_ips());
    WriteList(n_.not_destination_ips, match.not_destination_ips());
    WriteList(n_.destination_ports, match.destination_ports());
    WriteList(n_.not_destination_ports, match.not_destination_ports());
    WriteList(n_.service_accounts, match.service_accounts());
    WriteList(n_.not_service_accounts, match.not_service_accounts());
    json_->EndObject();
  }

  void Write(const Clause& clause) {
    json_->BeginObject();
    WriteList("matches", clause.matches());
    json_->EndObject();
  }

  void Write(const Rule& rule) {
    json_->BeginObject();
    WriteList("clauses", rule.clauses());
    json_->EndObject();
  }

  const PolicyNames& n_;
  JsonWriter* const json_;  // Not owned.
};

}  // namespace

absl::StatusOr<Authorization> ParsePolicyDocument(absl::string_view text) {
  if (text.empty()) return InvalidField("document", "is empty; give a policy as JSON");
  absl::StatusOr<Authorization> policy = Parse(text);
  if (!policy.ok()) return InvalidDocument("document", policy.status());
  const absl::Status checked = CheckPolicy(*policy);
  if (!checked.ok()) return InvalidField("document", checked.message());
  return policy;
}

absl::Status CheckPolicy(const Authorization& policy) {
  RETURN_IF_ERROR(CheckEntry(policy));
  return ConvertPolicy(policy).status();
}

void WritePolicyBody(const Authorization& policy, const PolicyNames& names, JsonWriter* json) {
  json->Field("scope", istio::security::Scope_Name(policy.scope()))
      .Field("action", istio::security::Action_Name(policy.action()));
  if (policy.dry_run()) json->Field(names.dry_run, true);
  RuleWriter(names, json).WriteList("rules", policy.rules());
}

std::string WritePolicyDocument(const Authorization& policy) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Field("name", policy.name()).Field("namespace", policy.namespace_());
  WritePolicyBody(policy, kDocumentPolicyNames, &json);
  json.EndObject();
  return std::move(json).Finish();
}

}  // namespace byrnie
