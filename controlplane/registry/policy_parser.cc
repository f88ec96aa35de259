#include "controlplane/registry/policy_parser.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

using google::protobuf::RepeatedField;
using google::protobuf::RepeatedPtrField;
using istio::security::Authorization;
using istio::security::Clause;
using istio::security::Match;
using istio::security::Rule;
using istio::security::ServiceAccountMatch;
using istio::security::StringMatch;

absl::Status ParseStringMatch(const JsonValue& value, const PolicyNames&, StringMatch* out) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"exact", "prefix", "suffix", "presence"}));
  const std::vector<std::pair<std::string, JsonValue>> members = object.Members();
  if (members.size() != 1) {
    return value.Error("give exactly one of \"exact\", \"prefix\", \"suffix\" and \"presence\"");
  }
  const auto& member = members.front();
  if (member.first == "presence") {
    ASSIGN_OR_RETURN(bool presence, member.second.AsBool());
    if (!presence) return member.second.Error("must be true; leave the match out otherwise");
    out->mutable_presence();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::string text, member.second.AsString());
  if (text.empty()) return member.second.Error("is empty; give the text to compare with");
  // No namespace or identity has one: a policy that can never match would be taken for protection.
  if (absl::StrContains(text, '*')) {
    return member.second.Error(
        "has a \"*\", which is compared literally; say \"prefix\", \"suffix\" or \"presence\"");
  }
  if (member.first == "exact") out->set_exact(std::move(text));
  if (member.first == "prefix") out->set_prefix(std::move(text));
  if (member.first == "suffix") out->set_suffix(std::move(text));
  return absl::OkStatus();
}

// A principal is a SPIFFE ID without its scheme; with it, it would match nobody.
absl::Status ParsePrincipal(const JsonValue& value, const PolicyNames& names, StringMatch* out) {
  RETURN_IF_ERROR(ParseStringMatch(value, names, out));
  if (absl::StartsWith(out->exact(), "spiffe:") || absl::StartsWith(out->prefix(), "spiffe:")) {
    return value.Error(
        "names a principal with its scheme; leave \"spiffe://\" out, as in "
        "cluster.local/ns/demo/sa/client");
  }
  return absl::OkStatus();
}

// "10.0.0.0/8", "fd00::/8", or an address alone.
absl::Status ParseBlock(const JsonValue& value, const PolicyNames&, istio::security::Address* out) {
  ASSIGN_OR_RETURN(std::string text, value.AsString());
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(parts[0]);
  if (!ip.ok() || parts.size() > 2) {
    return value.Error(absl::StrCat("\"", text, "\" is not an address or block like 10.0.0.0/8"));
  }
  const uint32_t bits = ip->is_v4() ? 32 : 128;
  uint32_t length = bits;
  if (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &length) || length > bits)) {
    return value.Error(absl::StrCat("\"", text, "\" has a prefix length that is not 0 to ", bits));
  }
  out->set_address(ip->ToBytes());
  out->set_length(length);
  return absl::OkStatus();
}

absl::Status ParseAccount(const JsonValue& value, const PolicyNames& names,
                          ServiceAccountMatch* out) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"namespace", names.service_account}));
  ASSIGN_OR_RETURN(*out->mutable_namespace_(), object.GetString("namespace"));
  ASSIGN_OR_RETURN(*out->mutable_service_account(), object.GetString(names.service_account));
  return absl::OkStatus();
}

template <typename Message>
absl::Status ParseList(const JsonObject& object, absl::string_view name, const PolicyNames& names,
                       absl::Status (*parse)(const JsonValue&, const PolicyNames&, Message*),
                       RepeatedPtrField<Message>* out) {
  ASSIGN_OR_RETURN(std::vector<JsonValue> values, object.GetArrayOrEmpty(name));
  for (const JsonValue& value : values) RETURN_IF_ERROR(parse(value, names, out->Add()));
  return absl::OkStatus();
}

absl::Status ParsePorts(const JsonObject& object, absl::string_view name,
                        RepeatedField<uint32_t>* out) {
  ASSIGN_OR_RETURN(std::vector<JsonValue> values, object.GetArrayOrEmpty(name));
  for (const JsonValue& value : values) {
    ASSIGN_OR_RETURN(int64_t port, value.AsInt(1, 65535));
    out->Add(static_cast<uint32_t>(port));
  }
  return absl::OkStatus();
}

absl::Status ParseMatch(const JsonValue& value, const PolicyNames& n, Match* out) {
  ASSIGN_OR_RETURN(JsonObject m, value.AsObject());
  RETURN_IF_ERROR(
      m.CheckKeys({"namespaces", n.not_namespaces, "principals", n.not_principals, n.source_ips,
                   n.not_source_ips, n.destination_ips, n.not_destination_ips, n.destination_ports,
                   n.not_destination_ports, n.service_accounts, n.not_service_accounts}));
  RETURN_IF_ERROR(ParseList(m, "namespaces", n, ParseStringMatch, out->mutable_namespaces()));
  RETURN_IF_ERROR(
      ParseList(m, n.not_namespaces, n, ParseStringMatch, out->mutable_not_namespaces()));
  RETURN_IF_ERROR(ParseList(m, "principals", n, ParsePrincipal, out->mutable_principals()));
  RETURN_IF_ERROR(ParseList(m, n.not_principals, n, ParsePrincipal, out->mutable_not_principals()));
  RETURN_IF_ERROR(ParseList(m, n.source_ips, n, ParseBlock, out->mutable_source_ips()));
  RETURN_IF_ERROR(ParseList(m, n.not_source_ips, n, ParseBlock, out->mutable_not_source_ips()));
  RETURN_IF_ERROR(ParseList(m, n.destination_ips, n, ParseBlock, out->mutable_destination_ips()));
  RETURN_IF_ERROR(
      ParseList(m, n.not_destination_ips, n, ParseBlock, out->mutable_not_destination_ips()));
  RETURN_IF_ERROR(ParsePorts(m, n.destination_ports, out->mutable_destination_ports()));
  RETURN_IF_ERROR(ParsePorts(m, n.not_destination_ports, out->mutable_not_destination_ports()));
  RETURN_IF_ERROR(
      ParseList(m, n.service_accounts, n, ParseAccount, out->mutable_service_accounts()));
  return ParseList(m, n.not_service_accounts, n, ParseAccount, out->mutable_not_service_accounts());
}

absl::Status ParseClause(const JsonValue& value, const PolicyNames& names, Clause* out) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"matches"}));
  return ParseList(object, "matches", names, ParseMatch, out->mutable_matches());
}

absl::Status ParseRule(const JsonValue& value, const PolicyNames& names, Rule* out) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"clauses"}));
  return ParseList(object, "clauses", names, ParseClause, out->mutable_clauses());
}

}  // namespace

absl::Status ParsePolicyBody(const JsonObject& object, const PolicyNames& names,
                             Authorization* policy) {
  ASSIGN_OR_RETURN(std::string scope_name, object.GetString("scope"));
  istio::security::Scope scope;
  if (!istio::security::Scope_Parse(scope_name, &scope)) {
    return object.Get("scope")->Error(
        absl::StrCat("\"", scope_name, "\" is none of GLOBAL, NAMESPACE and WORKLOAD_SELECTOR"));
  }
  policy->set_scope(scope);
  ASSIGN_OR_RETURN(std::string action_name, object.GetString("action"));
  istio::security::Action action;
  if (!istio::security::Action_Parse(action_name, &action)) {
    return object.Get("action")->Error(
        absl::StrCat("\"", action_name, "\" is neither ALLOW nor DENY"));
  }
  policy->set_action(action);
  ASSIGN_OR_RETURN(bool dry_run, object.GetBoolOr(names.dry_run, false));
  policy->set_dry_run(dry_run);
  return ParseList(object, "rules", names, ParseRule, policy->mutable_rules());
}

absl::StatusOr<Authorization> ParsePolicy(const JsonValue& value) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"name", "namespace", "scope", "action", "dry_run", "rules"}));
  Authorization policy;
  ASSIGN_OR_RETURN(*policy.mutable_name(), object.GetString("name"));
  ASSIGN_OR_RETURN(*policy.mutable_namespace_(), object.GetString("namespace"));
  RETURN_IF_ERROR(ParsePolicyBody(object, kDocumentPolicyNames, &policy));
  return policy;
}

}  // namespace byrnie
