// check and bug-report: everything the control plane knows.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "ctl/check_result.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/fleet.h"
#include "ctl/http_get.h"
#include "ctl/mesh_check.h"
#include "ctl/named_file.h"
#include "ctl/table.h"
#include "ctl/tar.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Stub = OperatorClient::Stub;

// By then what was applied, or written into a file that all have, is in force at all.
constexpr absl::Duration kChangeSpreads = absl::Seconds(3);

// What each control plane knows for itself.
struct Part {
  OperatorClient* client;
  v1::GetStatusResponse status;
  absl::Time now;
  std::vector<v1::Workload> workloads;
  std::vector<v1::Agent> agents;
  RegistryContents contents;
};

void NoteEntry(absl::string_view kind, absl::string_view name,
               const google::protobuf::Message& entry, RegistryContents* contents) {
  contents->entries[absl::StrCat(kind, " ", name)] =
      std::hash<std::string>()(entry.SerializeAsString());
}

absl::StatusOr<RegistryContents> GatherContents(OperatorClient* client, const Part& part) {
  RegistryContents contents;
  contents.control_plane = part.status.control_plane();
  for (v1::Workload workload : part.workloads) {
    // Of each control plane's own.
    workload.clear_agent_connected();
    NoteEntry("workload", workload.uid(), workload, &contents);
  }
  v1::ListServicesRequest services;
  services.set_page_size(1000);
  ASSIGN_OR_RETURN(
      const std::vector<v1::Service> listed,
      client->ListAll(&Stub::ListServices, services, &v1::ListServicesResponse::mutable_services));
  for (const v1::Service& service : listed) {
    NoteEntry("service", service.name(), service, &contents);
  }
  v1::ListPoliciesRequest policies;
  policies.set_page_size(1000);
  ASSIGN_OR_RETURN(
      const std::vector<v1::Policy> decided,
      client->ListAll(&Stub::ListPolicies, policies, &v1::ListPoliciesResponse::mutable_policies));
  for (const v1::Policy& policy : decided) NoteEntry("policy", policy.name(), policy, &contents);
  return contents;
}

absl::StatusOr<Part> GatherPart(OperatorClient* client, bool with_contents) {
  Part part;
  part.client = client;
  ASSIGN_OR_RETURN(part.status, client->Call(&Stub::GetStatus, v1::GetStatusRequest()));
  part.now = SystemClock().WallNow();
  v1::ListWorkloadsRequest workloads;
  workloads.set_page_size(1000);
  ASSIGN_OR_RETURN(part.workloads, client->ListAll(&Stub::ListWorkloads, workloads,
                                                   &v1::ListWorkloadsResponse::mutable_workloads));
  v1::ListAgentsRequest agents;
  agents.set_page_size(1000);
  ASSIGN_OR_RETURN(part.agents, client->ListAll(&Stub::ListAgents, agents,
                                                &v1::ListAgentsResponse::mutable_agents));
  if (with_contents) {
    ASSIGN_OR_RETURN(part.contents, GatherContents(client, part));
  }
  return part;
}

// The state, and the policies it was made of.
absl::Status Gather(const std::vector<OperatorClient*>& clients, MeshState* state,
                    std::vector<v1::Policy>* policies) {
  const bool several = clients.size() > 1;
  ASSIGN_OR_RETURN(FleetAnswers<Part> parts,
                   (AskFleet<Part, OperatorClient>(clients, [several](OperatorClient* client) {
                     return GatherPart(client, several);
                   })));
  state->missing = std::move(parts.missing);
  state->status = parts.answers.front().status;
  state->now = parts.answers.front().now;
  std::vector<std::vector<v1::Workload>> workloads;
  for (Part& part : parts.answers) {
    state->statuses.push_back(std::move(part.status));
    workloads.push_back(std::move(part.workloads));
    if (several) state->contents.push_back(std::move(part.contents));
    for (v1::Agent& agent : part.agents) state->agents.push_back(std::move(agent));
  }
  state->workloads = MergeWorkloads(workloads);
  state->agents = MergeAgents(std::move(state->agents));
  OperatorClient* const client = parts.answers.front().client;
  v1::ListServicesRequest services;
  services.set_page_size(1000);
  ASSIGN_OR_RETURN(state->services, client->ListAll(&Stub::ListServices, services,
                                                    &v1::ListServicesResponse::mutable_services));
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

// Of pages, what has no secret; the proxy's and the agent's have none, but only these are known.
constexpr absl::string_view kPages[] = {"/",         "/certs",   "/config_dump",   "/connections",
                                        "/recorder", "/bundles", "/healthz/ready", "/metrics"};

// Issuances of a report: certificates that may be in use, and no more than anybody looks at.
constexpr absl::Duration kIssuancesOf = absl::Hours(2);
constexpr size_t kMaxIssuances = 10000;

// A report as it is put together from what can be had.
class BugReport {
 public:
  explicit BugReport(absl::Time now) : tar_("byrnie-bug-report", now) {}

  void Add(absl::string_view file, absl::string_view content) { tar_.Add(file, content); }
  void Miss(absl::string_view file, absl::string_view why) {
    absl::StrAppend(&missing_, file, ": ", why, "\n");
  }
  // What the control plane says. When nobody answers, nobody is asked again: each call would take
  // its whole time.
  void Ask(absl::string_view file, const std::function<absl::StatusOr<std::string>()>& get) {
    if (!unreachable_.ok()) return Miss(file, unreachable_.message());
    const absl::StatusOr<std::string> content = get();
    if (content.ok()) return Add(file, *content);
    if (OperatorClient::IsUnreachable(content.status())) unreachable_ = content.status();
    Miss(file, content.status().message());
  }

  // One line each.
  const std::string& missing() const { return missing_; }
  std::string Finish() && {
    if (!missing_.empty()) tar_.Add("missing.txt", missing_);
    return std::move(tar_).Finish();
  }

 private:
  TarFile tar_;
  std::string missing_;
  absl::Status unreachable_ = absl::OkStatus();
};

template <typename Request, typename Response, typename Element>
absl::StatusOr<std::string> ListText(
    OperatorClient* client,
    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    google::protobuf::RepeatedPtrField<Element>* (Response::*elements)()) {
  Request request;
  request.set_page_size(1000);
  ASSIGN_OR_RETURN(const std::vector<Element> list, client->ListAll(method, request, elements));
  return JsonArray(list);
}

absl::StatusOr<std::string> IssuancesText(OperatorClient* client, absl::Time now, bool* more) {
  v1::ListIssuancesRequest request;
  request.set_page_size(1000);
  request.mutable_since()->set_seconds(absl::ToUnixSeconds(now - kIssuancesOf));
  std::vector<v1::Issuance> issuances;
  do {
    ASSIGN_OR_RETURN(const v1::ListIssuancesResponse page,
                     client->Call(&Stub::ListIssuances, request));
    issuances.insert(issuances.end(), page.issuances().begin(), page.issuances().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && issuances.size() < kMaxIssuances);
  *more = !request.page_token().empty();
  return JsonArray(issuances);
}

absl::StatusOr<std::string> EventsText(OperatorClient* client) {
  std::vector<v1::WatchEventsResponse> events;
  RETURN_IF_ERROR(client->WatchEvents(v1::WatchEventsRequest(),
                                      [&events](const v1::WatchEventsResponse& response) {
                                        events.push_back(response);
                                        return true;
                                      }));
  return JsonArray(events);
}

void AddControlPlane(OperatorClient* client, absl::Time now, BugReport* report) {
  report->Ask("status.json", [client]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const v1::GetStatusResponse status,
                     client->Call(&Stub::GetStatus, v1::GetStatusRequest()));
    return MessageJson(status);
  });
  report->Ask("workloads.json", [client] {
    return ListText(client, &Stub::ListWorkloads, &v1::ListWorkloadsResponse::mutable_workloads);
  });
  report->Ask("services.json", [client] {
    return ListText(client, &Stub::ListServices, &v1::ListServicesResponse::mutable_services);
  });
  report->Ask("agents.json", [client] {
    return ListText(client, &Stub::ListAgents, &v1::ListAgentsResponse::mutable_agents);
  });
  report->Ask("policies.json", [client] {
    return ListText(client, &Stub::ListPolicies, &v1::ListPoliciesResponse::mutable_policies);
  });
  report->Ask("flows.json", [client] {
    return ListText(client, &Stub::ListFlows, &v1::ListFlowsResponse::mutable_flows);
  });
  report->Ask("trust.json", [client]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const v1::Trust trust, client->Call(&Stub::GetTrust, v1::GetTrustRequest()));
    return MessageJson(trust);
  });
  bool more = false;
  report->Ask("issuances.json", [client, now, &more] { return IssuancesText(client, now, &more); });
  if (more) {
    report->Miss("issuances.json",
                 absl::StrCat("there are more than ", kMaxIssuances, " of two hours"));
  }
  report->Ask("events.json", [client] { return EventsText(client); });
  report->Ask("check.txt", [client]() -> absl::StatusOr<std::string> {
    MeshState state;
    std::vector<v1::Policy> policies;
    RETURN_IF_ERROR(Gather({client}, &state, &policies));
    return ChecksText(CheckMesh(state));
  });
}

struct PodPages {
  std::string name;
  SocketAddress address;
};

// --pods.
absl::StatusOr<std::vector<PodPages>> ReadPods() {
  std::vector<PodPages> pods;
  for (absl::string_view pod : absl::StrSplit(absl::GetFlag(FLAGS_pods), ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(pod, absl::MaxSplits('=', 1));
    const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(parts.second);
    if (parts.first.empty() || parts.first.find('/') != std::string::npos || !address.ok()) {
      return InFlag("pods", absl::StrCat("\"", pod, "\" is not NAME=IP:PORT"));
    }
    pods.push_back({parts.first, *address});
  }
  return pods;
}

void AddPod(const PodPages& pod, BugReport* report) {
  for (const absl::string_view path : kPages) {
    const absl::StatusOr<HttpPage> page = HttpGet(pod.address, path, absl::Seconds(2));
    // A proxy has not the pages of an agent, nor the other way round.
    if (page.ok() && page->status == 404) continue;
    const std::string file = absl::StrCat(
        "pods/", pod.name, "/", path == "/" ? "index.html" : absl::StripPrefix(path, "/"));
    if (page.ok()) {
      report->Add(file, page->body);
    } else {
      report->Miss(file, page.status().message());
      // The other pages are not there either, and would be waited for.
      return;
    }
  }
}

std::string ReportPath() {
  const std::string path = absl::GetFlag(FLAGS_file);
  return path.empty() ? "byrnie-bug-report.tar" : path;
}

}  // namespace

int RunCheck(const CommandContext& context) {
  if (ChecksClusterAlone()) return RunClusterCheck(context);
  MeshState state;
  std::vector<v1::Policy> policies;
  absl::Status gathered = Gather(context.clients, &state, &policies);
  if (gathered.ok() && ContentsDiffer(state)) {
    // A change reaches all within a second or two.
    absl::SleepFor(kChangeSpreads);
    state = MeshState();
    policies.clear();
    gathered = Gather(context.clients, &state, &policies);
  }
  if (!gathered.ok()) return Failed(gathered);
  const std::vector<CheckResult> results = CheckMesh(state);
  Print(context.json ? ChecksJson(results) : ChecksText(results));
  return AnyBad(results) ? kProblem : kDone;
}

absl::Status CheckBugReport(const CommandContext&) {
  const std::string path = ReportPath();
  if (path == "-" || absl::GetFlag(FLAGS_force)) return absl::OkStatus();
  const absl::Status free = CheckNoReport(path);
  return free.ok() ? free : InFlag("file", free.message());
}

int RunBugReport(const CommandContext& context) {
  const std::string path = ReportPath();
  const absl::StatusOr<std::vector<PodPages>> pods = ReadPods();
  if (!pods.ok()) return BadUsage(pods.status());
  BugReport report(context.now);
  report.Add("byrniectl.txt", absl::StrCat("byrniectl ", kRelease, "\ncontrol plane at ",
                                           context.control_plane, "\n"));
  AddControlPlane(context.client, context.now, &report);
  for (const PodPages& pod : *pods) AddPod(pod, &report);
  const std::string missing = report.missing();
  const std::string tar = std::move(report).Finish();
  if (path == "-") {
    Print(tar);
  } else {
    // Once more, for what somebody else has written meanwhile.
    absl::Status written = CheckBugReport(context);
    if (!written.ok()) return BadUsage(written);
    written = WriteReport(path, tar);
    if (!written.ok()) return BadUsage(InFlag("file", written.message()));
    // Of a pipe it is no news, and it may be stdout.
    if (!IsSpecialFile(path)) Print(absl::StrCat(path, "\n"));
  }
  if (missing.empty()) return kDone;
  Note(absl::StrCat("byrniectl: the report lacks\n", missing));
  return kIncomplete;
}

}  // namespace byrnie
