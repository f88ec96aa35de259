// flows; policy diff, policy suggest.

#include <functional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/flow/flow_groups.h"
#include "common/identity/spiffe_id.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/flow_text.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

absl::StatusOr<std::vector<v1::Flow::Verdict>> ReadVerdicts() {
  std::vector<v1::Flow::Verdict> verdicts;
  for (const absl::string_view name :
       absl::StrSplit(absl::GetFlag(FLAGS_verdict), ',', absl::SkipEmpty())) {
    v1::Flow::Verdict verdict = v1::Flow::VERDICT_UNSPECIFIED;
    for (const auto known :
         {v1::Flow::VERDICT_ALLOWED, v1::Flow::VERDICT_DENIED, v1::Flow::VERDICT_FAILED}) {
      if (VerdictText(known) == name) verdict = known;
    }
    if (verdict == v1::Flow::VERDICT_UNSPECIFIED) {
      return InFlag("verdict",
                    absl::StrCat("\"", name, "\" is none of allowed, denied and failed"));
    }
    verdicts.push_back(verdict);
  }
  return verdicts;
}

// What each of the control planes answers; the first error ends it, because an answer without one
// of them would be taken for the whole.
template <typename Request, typename Response>
absl::Status AskAll(const CommandContext& context,
                    grpc::Status (OperatorClient::Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                    const Request& request, const std::function<void(const Response&)>& on_answer) {
  for (OperatorClient* const client : context.clients) {
    const absl::StatusOr<Response> answer = client->Call(method, request);
    if (!answer.ok()) return answer.status();
    on_answer(*answer);
  }
  return absl::OkStatus();
}

absl::Status ReadProposal(const CommandContext& context, v1::DiffPoliciesRequest* request) {
  for (const std::string& path : context.arguments) {
    ASSIGN_OR_RETURN(*request->add_documents(), ReadPolicyAt(path));
  }
  for (const absl::string_view name :
       absl::StrSplit(absl::GetFlag(FLAGS_delete), ',', absl::SkipEmpty())) {
    request->add_removals(std::string(name));
  }
  return absl::OkStatus();
}

// "documents[1]: document: ..." with the name of that file.
absl::Status InProposal(const CommandContext& context, const absl::Status& status) {
  for (size_t i = 0; i < context.arguments.size(); ++i) {
    absl::string_view message = status.message();
    if (absl::ConsumePrefix(&message, absl::StrCat("documents[", i, "]: "))) {
      return InDocument(context.arguments[i], absl::Status(status.code(), message));
    }
  }
  return status;
}

// What can be a namespace of the registry: a segment of a SPIFFE ID.
bool IsNamespace(const std::string& name) {
  return name.find('/') == std::string::npos &&
         SpiffeId::Parse(absl::StrCat("spiffe://any/ns/", name, "/sa/any")).ok();
}

}  // namespace

absl::Status CheckFlows(const CommandContext&) { return ReadVerdicts().status(); }

int RunFlows(const CommandContext& context) {
  v1::ListFlowsRequest request;
  request.set_page_size(1000);
  request.set_namespace_(absl::GetFlag(FLAGS_namespace));
  if (!context.arguments.empty()) request.set_spiffe_id(context.arguments.front());
  const auto verdicts = ReadVerdicts();
  for (const v1::Flow::Verdict verdict : *verdicts) request.add_verdicts(verdict);
  std::vector<v1::Flow> flows;
  for (OperatorClient* const client : context.clients) {
    const auto listed = client->ListAll(&OperatorClient::Stub::ListFlows, request,
                                        &v1::ListFlowsResponse::mutable_flows);
    if (!listed.ok()) return Failed(listed.status());
    flows.insert(flows.end(), listed->begin(), listed->end());
  }
  flows = MergeFlows(std::move(flows));
  Print(context.json ? JsonArray(flows) : FlowTableText(GroupFlows(flows), context.now));
  return kDone;
}

absl::Status CheckPolicyDiff(const CommandContext& context) {
  if (context.arguments.empty() && absl::GetFlag(FLAGS_delete).empty()) {
    return absl::InvalidArgumentError(
        "there is nothing to compare; give files with policies, or --delete=NAMESPACE/NAME");
  }
  if (absl::c_count(context.arguments, "-") > 1) {
    return absl::InvalidArgumentError("stdin (-) can be read once");
  }
  return absl::OkStatus();
}

int RunPolicyDiff(const CommandContext& context) {
  v1::DiffPoliciesRequest request;
  const absl::Status read = ReadProposal(context, &request);
  if (!read.ok()) return BadUsage(read);
  std::vector<v1::DiffPoliciesResponse> answers;
  const absl::Status asked = AskAll<v1::DiffPoliciesRequest, v1::DiffPoliciesResponse>(
      context, &OperatorClient::Stub::DiffPolicies, request,
      [&answers](const v1::DiffPoliciesResponse& answer) { answers.push_back(answer); });
  if (!asked.ok()) return Failed(InProposal(context, asked));
  const v1::DiffPoliciesResponse diff = MergeDiffs(answers);
  Print(context.json ? MessageJson(diff) : DiffText(diff, context.now));
  if (ChangesAnything(diff)) return kChanges;
  // Of connections that nobody has seen no change is no news.
  return diff.flows() == 0 ? kIncomplete : kDone;
}

absl::Status CheckPolicySuggest(const CommandContext& context) {
  const std::string& name = context.arguments.front();
  if (IsNamespace(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", Printable(absl::string_view(name).substr(0, 80)),
                   "\" cannot be a namespace; those that there are: byrniectl workloads list"));
}

int RunPolicySuggest(const CommandContext& context) {
  v1::SuggestPoliciesRequest request;
  request.set_namespace_(context.arguments.front());
  v1::SuggestPoliciesResponse whole;
  for (OperatorClient* const client : context.clients) {
    // Each adds what it has seen to what the ones before have.
    request.set_document(whole.document());
    const auto answer = client->Call(&OperatorClient::Stub::SuggestPolicies, request);
    if (!answer.ok()) return Failed(answer.status());
    whole = MergeSuggestions(whole, *answer);
  }
  // Beside the document, so that it can go into a file.
  Note(SuggestionNotes(whole, request.namespace_()));
  if (context.json) {
    Print(MessageJson(whole));
  } else if (!whole.document().empty()) {
    Print(absl::StrCat(whole.document(), "\n"));
  }
  return whole.document().empty() ? kProblem : kDone;
}

}  // namespace byrnie
