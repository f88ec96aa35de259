// policy list, get, validate, apply, delete; token create, list, revoke.

#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/identity/spiffe_id.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/named_file.h"
#include "ctl/status_text.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

template <typename List>
void PrintFindings(const List& findings) {
  for (const v1::PolicyFinding& finding : findings) {
    Print(absl::StrCat(
        finding.severity() == v1::PolicyFinding::SEVERITY_WARNING ? "warning: " : "note: ",
        finding.field().empty() ? "" : absl::StrCat(finding.field(), ": "),
        Printable(finding.message()), "\n"));
  }
}

std::string OriginText(v1::Policy::Origin origin) {
  if (origin == v1::Policy::ORIGIN_KUBERNETES) return "cluster";
  return origin == v1::Policy::ORIGIN_FILE ? "registry file" : "API";
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(absl::ToInt64Seconds(duration));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration % absl::Seconds(1))));
}

absl::StatusOr<v1::Role> ParseRoleFlag() {
  const std::string role = absl::GetFlag(FLAGS_role);
  v1::Role parsed = v1::ROLE_UNSPECIFIED;
  if (v1::Role_Parse(absl::StrCat("ROLE_", absl::AsciiStrToUpper(role)), &parsed) &&
      parsed != v1::ROLE_UNSPECIFIED) {
    return parsed;
  }
  return InFlag("role", absl::StrCat("\"", role, "\" is none of viewer, operator and admin"));
}

// A token that was made and could not be printed: nobody has it, and it is good all the same.
void NoteLostToken(absl::string_view which, const google::protobuf::Timestamp& end,
                   absl::string_view remedy) {
  Note(absl::StrCat("byrniectl: note: the ", Printable(which),
                    " was made, and nobody has it; it is ", "good until ", Rfc3339(end), "; ",
                    Printable(remedy), " takes it back\n"));
}

int CreateJoinToken(const CommandContext& context, absl::Duration ttl) {
  v1::CreateJoinTokenRequest request;
  request.set_spiffe_id(absl::GetFlag(FLAGS_identity));
  if (ttl > absl::ZeroDuration()) SetDuration(ttl, request.mutable_ttl());
  const auto response = context.client->Call(&OperatorClient::Stub::CreateJoinToken, request);
  if (!response.ok()) return Failed(response.status());
  Print(context.json ? MessageJson(*response) : absl::StrCat(response->token(), "\n"));
  if (!OutputWritten()) {
    NoteLostToken(absl::StrCat("join token for ", request.spiffe_id()), response->expires_at(),
                  absl::StrCat("byrniectl token revoke --join ", response->id()));
  } else if (!context.json) {
    Note(absl::StrCat("byrniectl: note: its id is ", Printable(response->id()),
                      "; with that byrniectl token revoke --join takes it back\n"));
  }
  return kDone;
}

int CreateOperatorToken(const CommandContext& context, absl::Duration ttl) {
  v1::CreateOperatorTokenRequest request;
  request.set_name(absl::GetFlag(FLAGS_operator));
  request.set_role(*ParseRoleFlag());
  if (ttl > absl::ZeroDuration()) SetDuration(ttl, request.mutable_ttl());
  const auto response = context.client->Call(&OperatorClient::Stub::CreateOperatorToken, request);
  if (!response.ok()) return Failed(response.status());
  Print(context.json ? MessageJson(*response) : absl::StrCat(response->token(), "\n"));
  if (!OutputWritten()) {
    NoteLostToken(absl::StrCat("token of operator ", request.name()),
                  response->operator_token().expires_at(),
                  absl::StrCat("byrniectl token revoke ", request.name()));
  }
  return kDone;
}

int ListJoinTokens(const CommandContext& context) {
  v1::ListJoinTokensRequest request;
  request.set_page_size(1000);
  const auto tokens = context.client->ListAll(&OperatorClient::Stub::ListJoinTokens, request,
                                              &v1::ListJoinTokensResponse::mutable_join_tokens);
  if (!tokens.ok()) return Failed(tokens.status());
  if (context.json) {
    Print(JsonArray(*tokens));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {{"ID", "IDENTITY", "END"}};
  for (const v1::JoinToken& token : *tokens) {
    rows.push_back(
        {token.id(), token.spiffe_id(), Expiry(TimeOf(token.expires_at()), context.now)});
  }
  Print(tokens->empty() ? "no join token that may still be used\n" : Table(rows));
  return kDone;
}

// By what --file names.
absl::StatusOr<std::string> ReadNamed(absl::StatusOr<std::string> (*read)(const std::string&)) {
  const std::string path = absl::GetFlag(FLAGS_file);
  if (path.empty()) return InFlag("file", "is missing; give the document's file, or - for stdin");
  absl::StatusOr<std::string> text = read(path);
  if (!text.ok()) return InFlag("file", text.status().message());
  return text;
}

}  // namespace

absl::StatusOr<std::string> ReadDocumentAt(const std::string& path) {
  return ReadInput(path == "-" ? "/dev/stdin" : path, kMaxDocument);
}

absl::StatusOr<std::string> ReadPolicyAt(const std::string& path) {
  absl::StatusOr<std::string> text = ReadDocumentAt(path);
  if (!text.ok() || text->size() <= kMaxPolicy) return text;
  return absl::InvalidArgumentError(absl::StrCat(path == "-" ? "stdin" : path, ": longer than ",
                                                 kMaxPolicy,
                                                 " bytes; make several policies of it"));
}

absl::StatusOr<std::string> ReadDocument() { return ReadNamed(&ReadDocumentAt); }
absl::StatusOr<std::string> ReadPolicy() { return ReadNamed(&ReadPolicyAt); }

absl::Status InDocument(const std::string& path, const absl::Status& status) {
  absl::string_view message = status.message();
  // "document: what" about all of it, "document.name: what" about a field.
  if (!absl::IsInvalidArgument(status) || !absl::StartsWith(message, "document")) return status;
  absl::ConsumePrefix(&message, "document: ");
  return absl::Status(status.code(), absl::StrCat(path == "-" ? "stdin" : path, ": ", message));
}

int RunPolicyList(const CommandContext& context) {
  v1::ListPoliciesRequest request;
  request.set_page_size(1000);
  request.set_namespace_(absl::GetFlag(FLAGS_namespace));
  const auto policies = context.client->ListAll(&OperatorClient::Stub::ListPolicies, request,
                                                &v1::ListPoliciesResponse::mutable_policies);
  if (!policies.ok()) return Failed(policies.status());
  if (context.json) {
    Print(JsonArray(*policies));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {
      {"POLICY", "ACTION", "SCOPE", "FROM", "VERSION", "APPLIED"}};
  for (const v1::Policy& policy : *policies) {
    rows.push_back(
        {policy.name(), absl::StrCat(policy.action(), policy.dry_run() ? " (dry run)" : ""),
         policy.scope(), OriginText(policy.origin()), policy.version(),
         policy.has_applied_at()
             ? absl::StrCat(Rfc3339(policy.applied_at()), " by ", Printable(policy.applied_by()))
             : ""});
  }
  Print(policies->empty() ? "no policy\n" : Table(rows));
  return kDone;
}

int RunPolicyGet(const CommandContext& context) {
  v1::GetPolicyRequest request;
  request.set_name(context.arguments.front());
  const auto policy = context.client->Call(&OperatorClient::Stub::GetPolicy, request);
  if (!policy.ok()) return Failed(policy.status());
  // Beside the document, which can be given to apply as it is.
  if (!context.json && policy->origin() != v1::Policy::ORIGIN_API) {
    Note(absl::StrCat("byrniectl: note: it is from the ", OriginText(policy->origin()),
                      " and is changed there\n"));
  }
  Print(context.json ? MessageJson(*policy) : absl::StrCat(policy->document(), "\n"));
  return kDone;
}

int RunPolicyValidate(const CommandContext& context) {
  const absl::StatusOr<std::string> document = ReadPolicy();
  if (!document.ok()) return BadUsage(document.status());
  v1::ValidatePolicyRequest request;
  request.set_document(*document);
  const auto answer = context.client->Call(&OperatorClient::Stub::ValidatePolicy, request);
  if (!answer.ok()) return Failed(InDocument(absl::GetFlag(FLAGS_file), answer.status()));
  bool warned = false;
  for (const v1::PolicyFinding& finding : answer->findings()) {
    warned = warned || finding.severity() == v1::PolicyFinding::SEVERITY_WARNING;
  }
  if (context.json) {
    Print(MessageJson(*answer));
  } else {
    Print(absl::StrCat(answer->policy().name(), ": ", answer->policy().action(),
                       answer->policy().dry_run() ? ", dry run" : "", ", about ",
                       Plural(answer->workloads_concerned(), "workload"),
                       answer->replaces() ? ", replaces the one there is" : "", "\n"));
    PrintFindings(answer->findings());
  }
  return warned ? kProblem : kDone;
}

int RunPolicyApply(const CommandContext& context) {
  const absl::StatusOr<std::string> document = ReadPolicy();
  if (!document.ok()) return BadUsage(document.status());
  v1::ApplyPolicyRequest request;
  request.set_document(*document);
  request.set_expected_version(absl::GetFlag(FLAGS_expect));
  request.set_accept_findings(absl::GetFlag(FLAGS_accept));
  const auto answer = context.client->Call(&OperatorClient::Stub::ApplyPolicy, request);
  if (!answer.ok()) {
    const bool warned = absl::IsFailedPrecondition(answer.status()) && !request.accept_findings();
    return Failed(warned
                      ? absl::Status(answer.status().code(),
                                     absl::StrCat(answer.status().message(),
                                                  "; byrniectl policy apply --accept does it all "
                                                  "the same where that is all"))
                      : InDocument(absl::GetFlag(FLAGS_file), answer.status()));
  }
  if (context.json) {
    Print(MessageJson(*answer));
    return kDone;
  }
  Print(absl::StrCat(answer->policy().name(),
                     answer->unchanged() ? " is in force already" : " is in force", ", version ",
                     answer->policy().version(), "\n"));
  PrintFindings(answer->findings());
  return kDone;
}

int RunPolicyDelete(const CommandContext& context) {
  v1::DeletePolicyRequest request;
  request.set_name(context.arguments.front());
  request.set_expected_version(absl::GetFlag(FLAGS_expect));
  const auto answer = context.client->Call(&OperatorClient::Stub::DeletePolicy, request);
  if (!answer.ok()) return Failed(answer.status());
  return ReportDone(context, {"deleted", "policy", request.name()},
                    absl::StrCat(request.name(), " is out of force\n"));
}

absl::Status CheckTokenCreate(const CommandContext&) {
  const bool join = !absl::GetFlag(FLAGS_identity).empty();
  const bool of_operator = !absl::GetFlag(FLAGS_operator).empty();
  if (join == of_operator) {
    return InFlag("identity", join ? "give it or --operator, not both"
                                   : "is missing; give the SPIFFE ID the token is for, or "
                                     "--operator");
  }
  const absl::Duration ttl = absl::GetFlag(FLAGS_ttl);
  const absl::Duration most = join ? absl::Hours(24) : absl::Hours(24 * 366);
  if (ttl < absl::ZeroDuration() || ttl > most) {
    return InFlag("ttl", absl::StrCat(absl::FormatDuration(ttl), " is not more than 0 and at most ",
                                      absl::FormatDuration(most)));
  }
  if (join) {
    const absl::Status valid = SpiffeId::Parse(absl::GetFlag(FLAGS_identity)).status();
    return valid.ok() ? valid : InFlag("identity", valid.message());
  }
  return ParseRoleFlag().status();
}

int RunTokenCreate(const CommandContext& context) {
  const absl::Duration ttl = absl::GetFlag(FLAGS_ttl);
  return absl::GetFlag(FLAGS_identity).empty() ? CreateOperatorToken(context, ttl)
                                               : CreateJoinToken(context, ttl);
}

int RunTokenList(const CommandContext& context) {
  if (absl::GetFlag(FLAGS_join)) return ListJoinTokens(context);
  v1::ListOperatorTokensRequest request;
  request.set_page_size(1000);
  const auto tokens =
      context.client->ListAll(&OperatorClient::Stub::ListOperatorTokens, request,
                              &v1::ListOperatorTokensResponse::mutable_operator_tokens);
  if (!tokens.ok()) return Failed(tokens.status());
  if (context.json) {
    Print(JsonArray(*tokens));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {{"OPERATOR", "ROLE", "END", "MADE"}};
  for (const v1::OperatorToken& token : *tokens) {
    rows.push_back(
        {token.name(), RoleText(token.role()), Expiry(TimeOf(token.expires_at()), context.now),
         absl::StrCat(Rfc3339(token.created_at()), " by ", Printable(token.created_by()))});
  }
  Print(tokens->empty() ? "no operator token but that of --operator_token_out\n" : Table(rows));
  return kDone;
}

int RunTokenRevoke(const CommandContext& context) {
  if (absl::GetFlag(FLAGS_join)) {
    v1::RevokeJoinTokenRequest join;
    join.set_id(context.arguments.front());
    const auto revoked = context.client->Call(&OperatorClient::Stub::RevokeJoinToken, join);
    if (!revoked.ok()) return Failed(revoked.status());
    return ReportDone(context, {"revoked", "join_token", revoked->id()},
                      "the join token is refused from now on\n");
  }
  v1::RevokeOperatorTokenRequest request;
  request.set_name(context.arguments.front());
  const auto answer = context.client->Call(&OperatorClient::Stub::RevokeOperatorToken, request);
  if (!answer.ok()) return Failed(answer.status());
  return ReportDone(
      context, {"revoked", "operator_token", answer->name()},
      absl::StrCat("the token of ", Printable(answer->name()), " is refused from now on\n"));
}

}  // namespace byrnie
