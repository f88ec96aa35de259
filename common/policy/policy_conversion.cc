#include "common/policy/policy_conversion.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/policy/known_fields.h"

namespace byrnie {
namespace {

namespace pb = ::istio::security;

// The fields of api/istio/security/authorization.proto. Made on each use rather than kept: policies
// change rarely, and the program has no globals with constructors.
class AuthorizationFields {
 public:
  AuthorizationFields() {
    string_match_.fields = {
        {1, {"exact", 2}}, {2, {"prefix", 2}}, {3, {"suffix", 2}}, {4, {"presence", 2, &empty_}}};
    address_.fields = {{1, {"address", 2}}, {2, {"length", 0}}};
    service_account_.fields = {{1, {"namespace", 2}}, {2, {"service_account", 2}}};
    match_.fields = {{1, {"namespaces", 2, &string_match_}},
                     {2, {"not_namespaces", 2, &string_match_}},
                     {3, {"principals", 2, &string_match_}},
                     {4, {"not_principals", 2, &string_match_}},
                     {5, {"source_ips", 2, &address_}},
                     {6, {"not_source_ips", 2, &address_}},
                     {7, {"destination_ips", 2, &address_}},
                     {8, {"not_destination_ips", 2, &address_}},
                     {9, {"destination_ports", 2}},
                     {10, {"not_destination_ports", 2}},
                     {11, {"service_accounts", 2, &service_account_}},
                     {12, {"not_service_accounts", 2, &service_account_}}};
    clause_.fields = {{2, {"matches", 2, &match_}}};
    rule_.fields = {{1, {"clauses", 2, &clause_}}};
    policy_.fields = {{1, {"name", 2}},   {2, {"namespace", 2}},     {3, {"scope", 0}},
                      {4, {"action", 0}}, {5, {"rules", 2, &rule_}}, {6, {"dry_run", 0}}};
  }
  AuthorizationFields(const AuthorizationFields&) = delete;
  AuthorizationFields& operator=(const AuthorizationFields&) = delete;

  const KnownFields& policy() const { return policy_; }

 private:
  KnownFields empty_, string_match_, address_, service_account_, match_, clause_, rule_, policy_;
};

absl::Status Convert(const pb::StringMatch& from, StringMatcher* to) {
  switch (from.match_type_case()) {
    case pb::StringMatch::kExact:
      to->kind = StringMatcher::Kind::kExact;
      to->text = from.exact();
      return absl::OkStatus();
    case pb::StringMatch::kPrefix:
      to->kind = StringMatcher::Kind::kPrefix;
      to->text = from.prefix();
      return absl::OkStatus();
    case pb::StringMatch::kSuffix:
      to->kind = StringMatcher::Kind::kSuffix;
      to->text = from.suffix();
      return absl::OkStatus();
    case pb::StringMatch::kPresence:
      to->kind = StringMatcher::Kind::kPresence;
      return absl::OkStatus();
    case pb::StringMatch::MATCH_TYPE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("no exact, prefix, suffix or presence is set");
}

absl::Status Convert(const pb::Address& from, CidrBlock* to) {
  ASSIGN_OR_RETURN(to->base, IpAddress::FromBytes(from.address()));
  int64_t length = from.length();
  const int64_t bits = static_cast<int64_t>(from.address().size()) * 8;
  if (length > bits) {
    return absl::InvalidArgumentError(absl::StrCat("prefix length ", length, " is more than the ",
                                                   bits, " bits of ", to->base.ToString()));
  }
  // An IPv4-mapped IPv6 block is the IPv4 block it means, as the addresses it is compared with are.
  if (bits == 128 && to->base.is_v4()) {
    if (length < 96) {
      return absl::InvalidArgumentError(
          absl::StrCat("prefix length ", length, " of an IPv4-mapped address is less than 96"));
    }
    length -= 96;
  }
  to->length = static_cast<int>(length);
  return absl::OkStatus();
}

absl::Status Convert(uint32_t from, uint16_t* to) {
  if (from < 1 || from > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port ", from, " is not in 1 to 65535"));
  }
  *to = static_cast<uint16_t>(from);
  return absl::OkStatus();
}

absl::Status Convert(const pb::ServiceAccountMatch& from, ServiceAccountMatcher* to) {
  if (from.namespace_().empty() || from.service_account().empty()) {
    return absl::InvalidArgumentError("namespace or service_account is empty");
  }
  to->ns = from.namespace_();
  to->name = from.service_account();
  return absl::OkStatus();
}

// Converts the values of one kind and of its negation.
template <typename From, typename To>
absl::Status ConvertList(absl::string_view kind, const From& any, const From& none,
                         MatchList<To>* to) {
  for (const auto& [from, list] :
       {std::make_pair(&any, &to->any), std::make_pair(&none, &to->none)}) {
    for (const auto& value : *from) {
      To converted{};
      const absl::Status status = Convert(value, &converted);
      if (!status.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(from == &none ? "not_" : "", kind, ": ", status.message()));
      }
      list->push_back(std::move(converted));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PolicyMatch> ConvertMatch(const pb::Match& from) {
  PolicyMatch to;
  RETURN_IF_ERROR(
      ConvertList("namespaces", from.namespaces(), from.not_namespaces(), &to.namespaces));
  RETURN_IF_ERROR(
      ConvertList("principals", from.principals(), from.not_principals(), &to.principals));
  RETURN_IF_ERROR(
      ConvertList("source_ips", from.source_ips(), from.not_source_ips(), &to.source_ips));
  RETURN_IF_ERROR(ConvertList("destination_ips", from.destination_ips(), from.not_destination_ips(),
                              &to.destination_ips));
  RETURN_IF_ERROR(ConvertList("destination_ports", from.destination_ports(),
                              from.not_destination_ports(), &to.destination_ports));
  RETURN_IF_ERROR(ConvertList("service_accounts", from.service_accounts(),
                              from.not_service_accounts(), &to.service_accounts));
  return to;
}

absl::Status ConvertHeader(const pb::Authorization& from, Policy* to) {
  if (from.name().empty()) return absl::InvalidArgumentError("it has no name");
  to->name = from.name();
  to->ns = from.namespace_();
  if (to->ns.find('/') != std::string::npos) {
    return absl::InvalidArgumentError("its namespace contains '/'");
  }
  if (to->ns.empty() && from.scope() != pb::GLOBAL) {
    return absl::InvalidArgumentError("it has no namespace");
  }
  switch (from.scope()) {
    case pb::GLOBAL:
      to->scope = Policy::Scope::kGlobal;
      break;
    case pb::NAMESPACE:
      to->scope = Policy::Scope::kNamespace;
      break;
    case pb::WORKLOAD_SELECTOR:
      to->scope = Policy::Scope::kWorkloadSelector;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown scope ", static_cast<int>(from.scope())));
  }
  switch (from.action()) {
    case pb::ALLOW:
      to->action = Policy::Action::kAllow;
      break;
    case pb::DENY:
      to->action = Policy::Action::kDeny;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unknown action ", static_cast<int>(from.action())));
  }
  to->dry_run = from.dry_run();
  return absl::OkStatus();
}

absl::StatusOr<Policy> ConvertUnnamed(const pb::Authorization& from) {
  RETURN_IF_ERROR(CheckKnownFields(from.SerializeAsString(), AuthorizationFields().policy()));
  Policy to;
  RETURN_IF_ERROR(ConvertHeader(from, &to));
  for (const pb::Rule& from_rule : from.rules()) {
    PolicyRule rule;
    for (const pb::Clause& from_clause : from_rule.clauses()) {
      PolicyClause clause;
      for (const pb::Match& from_match : from_clause.matches()) {
        ASSIGN_OR_RETURN(PolicyMatch match, ConvertMatch(from_match));
        clause.matches.push_back(std::move(match));
      }
      rule.clauses.push_back(std::move(clause));
    }
    to.rules.push_back(std::move(rule));
  }
  return to;
}

}  // namespace

absl::StatusOr<Policy> ConvertPolicy(const pb::Authorization& policy) {
  absl::StatusOr<Policy> converted = ConvertUnnamed(policy);
  if (!converted.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("policy \"", policy.namespace_(), "/",
                                                   policy.name(),
                                                   "\": ", converted.status().message()));
  }
  return converted;
}

}  // namespace byrnie
