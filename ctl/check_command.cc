// check and bug-report: everything the control plane knows.

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/http_get.h"
#include "ctl/mesh_check.h"
#include "ctl/table.h"
#include "ctl/tar.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Stub = OperatorClient::Stub;

// The state, and the policies it was made of.
absl::Status Gather(OperatorClient* client, MeshState* state, std::vector<v1::Policy>* policies) {
  ASSIGN_OR_RETURN(state->status, client->Call(&Stub::GetStatus, v1::GetStatusRequest()));
  state->now = SystemClock().WallNow();
  v1::ListWorkloadsRequest workloads;
  workloads.set_page_size(1000);
  ASSIGN_OR_RETURN(state->workloads,
                   client->ListAll(&Stub::ListWorkloads, workloads,
                                   &v1::ListWorkloadsResponse::mutable_workloads));
  v1::ListServicesRequest services;
  services.set_page_size(1000);
  ASSIGN_OR_RETURN(state->services, client->ListAll(&Stub::ListServices, services,
                                                    &v1::ListServicesResponse::mutable_services));
  v1::ListAgentsRequest agents;
  agents.set_page_size(1000);
  ASSIGN_OR_RETURN(state->agents, client->ListAll(&Stub::ListAgents, agents,
                                                  &v1::ListAgentsResponse::mutable_agents));
  v1::ListPoliciesRequest list;
  list.set_page_size(1000);
  ASSIGN_OR_RETURN(*policies, client->ListAll(&Stub::ListPolicies, list,
                                              &v1::ListPoliciesResponse::mutable_policies));
  for (const v1::Policy& policy : *policies) {
    v1::ValidatePolicyRequest request;
    request.set_document(policy.document());
    ASSIGN_OR_RETURN(v1::ValidatePolicyResponse review,
                     client->Call(&Stub::ValidatePolicy, request));
    for (const v1::PolicyFinding& finding : review.findings()) {
      if (finding.severity() != v1::PolicyFinding::SEVERITY_WARNING) continue;
      state->policy_warnings.emplace_back(policy.name(), finding.message());
      break;
    }
  }
  return absl::OkStatus();
}

const char* NameOf(CheckResult::Outcome outcome) {
  switch (outcome) {
    case CheckResult::Outcome::kGood:
      return "good";
    case CheckResult::Outcome::kNote:
      return "note";
    case CheckResult::Outcome::kBad:
      return "BAD";
  }
  return "unknown";
}

std::string ChecksText(const std::vector<CheckResult>& results) {
  std::string text;
  for (const CheckResult& result : results) {
    std::string outcome = NameOf(result.outcome), name = result.name;
    outcome.resize(4, ' ');
    name.resize(16, ' ');
    absl::StrAppend(&text, outcome, "  ", name, "  ", Printable(result.message), "\n");
    if (!result.remedy.empty()) {
      absl::StrAppend(&text, std::string(24, ' '), "-> ", result.remedy, "\n");
    }
  }
  return text;
}

std::string ChecksJson(const std::vector<CheckResult>& results) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginArray();
  for (const CheckResult& result : results) {
    json.BeginObject()
        .Field("name", result.name)
        .Field("outcome",
               result.outcome == CheckResult::Outcome::kBad ? "bad" : NameOf(result.outcome))
        .Field("message", result.message)
        .Field("remedy", result.remedy)
        .EndObject();
  }
  json.EndArray();
  return std::move(json).Finish() + "\n";
}

bool AnyBad(const std::vector<CheckResult>& results) {
  for (const CheckResult& result : results) {
    if (result.outcome == CheckResult::Outcome::kBad) return true;
  }
  return false;
}

template <typename Message>
std::string Lines(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) absl::StrAppend(&text, MessageJson(message));
  return text;
}

// Of pages, what has no secret; the proxy's and the agent's have none, but only these are known.
constexpr absl::string_view kPages[] = {"/",         "/certs",   "/config_dump",   "/connections",
                                        "/recorder", "/bundles", "/healthz/ready", "/metrics"};

absl::Status AddPods(TarFile* tar) {
  for (absl::string_view pod : absl::StrSplit(absl::GetFlag(FLAGS_pods), ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(pod, absl::MaxSplits('=', 1));
    const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(parts.second);
    if (parts.first.empty() || parts.first.find('/') != std::string::npos || !address.ok()) {
      return InFlag("pods", absl::StrCat("\"", pod, "\" is not NAME=IP:PORT"));
    }
    for (const absl::string_view path : kPages) {
      const absl::StatusOr<HttpPage> page = HttpGet(*address, path, absl::Seconds(2));
      // A proxy has not the pages of an agent, nor the other way round.
      if (page.ok() && page->status == 404) continue;
      const std::string name =
          path == "/" ? "index.html" : std::string(absl::StripPrefix(path, "/"));
      tar->Add(absl::StrCat("pods/", parts.first, "/", name),
               page.ok() ? page->body : absl::StrCat(page.status().message(), "\n"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int RunCheck(const CommandContext& context) {
  MeshState state;
  std::vector<v1::Policy> policies;
  const absl::Status gathered = Gather(context.client, &state, &policies);
  if (!gathered.ok()) return Failed(gathered);
  const std::vector<CheckResult> results = CheckMesh(state);
  Print(context.json ? ChecksJson(results) : ChecksText(results));
  return AnyBad(results) ? kProblem : kDone;
}

int RunBugReport(const CommandContext& context) {
  std::string path = absl::GetFlag(FLAGS_file);
  if (path.empty()) path = "byrnie-bug-report.tar";
  MeshState state;
  std::vector<v1::Policy> policies;
  const absl::Status gathered = Gather(context.client, &state, &policies);
  if (!gathered.ok()) return Failed(gathered);
  TarFile tar("byrnie-bug-report", context.now);
  tar.Add("byrniectl.txt",
          absl::StrCat("byrniectl ", kRelease, "\ncontrol plane at ", context.control_plane, "\n"));
  tar.Add("status.json", MessageJson(state.status));
  tar.Add("workloads.json", Lines(state.workloads));
  tar.Add("services.json", Lines(state.services));
  tar.Add("agents.json", Lines(state.agents));
  tar.Add("policies.json", Lines(policies));
  tar.Add("check.txt", ChecksText(CheckMesh(state)));
  std::string events;
  const absl::Status watched = context.client->WatchEvents(
      v1::WatchEventsRequest(), [&events](const v1::WatchEventsResponse& response) {
        absl::StrAppend(&events, MessageJson(response));
        return true;
      });
  tar.Add("events.json", watched.ok() ? events : absl::StrCat(events, watched.message(), "\n"));
  const absl::Status pods = AddPods(&tar);
  if (!pods.ok()) return BadUsage(pods);
  // For whoever made it alone: it says who talks to whom.
  const absl::Status written = WriteFileAtomically(path, std::move(tar).Finish(), 0600);
  if (!written.ok()) return BadUsage(InFlag("file", written.message()));
  Print(absl::StrCat(path, "\n"));
  return kDone;
}

}  // namespace byrnie
