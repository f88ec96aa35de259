// status, workloads list, services list, agents, certs, identity: what the mesh is.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/identity/spiffe_id.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/fleet.h"
#include "ctl/status_text.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Rows = std::vector<std::vector<std::string>>;

using Agents = std::vector<v1::Agent>;
using Workloads = std::vector<v1::Workload>;

absl::StatusOr<FleetAnswers<Agents>> AskForAgents(const CommandContext& context,
                                                  const std::string& id = "") {
  return AskFleet<Agents, OperatorClient>(context.clients, [&id](OperatorClient* client) {
    v1::ListAgentsRequest request;
    request.set_page_size(1000);
    request.set_spiffe_id(id);
    return client->ListAll(&OperatorClient::Stub::ListAgents, request,
                           &v1::ListAgentsResponse::mutable_agents);
  });
}

absl::StatusOr<FleetAnswers<Workloads>> AskForWorkloads(const CommandContext& context,
                                                        const std::string& ns = "") {
  return AskFleet<Workloads, OperatorClient>(context.clients, [&ns](OperatorClient* client) {
    v1::ListWorkloadsRequest request;
    request.set_page_size(1000);
    request.set_namespace_(ns);
    return client->ListAll(&OperatorClient::Stub::ListWorkloads, request,
                           &v1::ListWorkloadsResponse::mutable_workloads);
  });
}

Agents AgentsOf(FleetAnswers<Agents>* asked) {
  Agents all;
  for (Agents& answer : asked->answers) {
    for (v1::Agent& agent : answer) all.push_back(std::move(agent));
  }
  return MergeAgents(std::move(all));
}

std::string ConnectedText(const v1::Agent& agent, absl::Time now) {
  // One that knows Istio's protocol alone.
  if (!agent.has_connected_since() && !agent.connected()) {
    return absl::StrCat("no stream, asked for a certificate ",
                        ShortDuration(now - TimeOf(agent.last_seen())), " ago");
  }
  return absl::StrCat(
      agent.connected() ? "connected for " : "gone for ",
      ShortDuration(now - TimeOf(agent.connected() ? agent.connected_since() : agent.last_seen())));
}

std::string CertificateText(const v1::Agent& agent, absl::Time now) {
  if (!agent.has_certificate_not_after()) return "none known";
  const std::string expiry = Expiry(TimeOf(agent.certificate_not_after()), now);
  const bool revoked = absl::c_count(agent.troubles(), v1::Agent::TROUBLE_CERTIFICATE_REVOKED) > 0;
  return revoked ? absl::StrCat("REVOKED, ", expiry) : expiry;
}

std::string ClockText(const v1::Agent& agent) {
  if (!agent.has_clock_offset()) return "not told";
  const absl::Duration offset = DurationOf(agent.clock_offset());
  if (absl::AbsDuration(offset) < absl::Seconds(1)) return "right";
  return absl::StrCat(ShortDuration(absl::AbsDuration(offset)),
                      offset > absl::ZeroDuration() ? " ahead" : " behind");
}

// With a column for the control plane where that is not always the same one.
std::string AgentTableText(const Agents& agents, absl::Time now, bool of_several) {
  if (agents.empty()) return "no agent has connected since the control plane started\n";
  Rows rows = {{"AGENT", "ADDRESS", "STATE", "CERTIFICATE", "BUNDLE", "CLOCK", "RELEASE"}};
  if (of_several) rows.front().push_back("CONTROL PLANE");
  for (const v1::Agent& agent : agents) {
    rows.push_back({agent.spiffe_id(), agent.address(), ConnectedText(agent, now),
                    CertificateText(agent, now),
                    agent.acknowledged_bundle_version() == 0
                        ? "not acknowledged"
                        : absl::StrCat("version ", agent.acknowledged_bundle_version()),
                    ClockText(agent), Printable(agent.release())});
    if (of_several) rows.back().push_back(Printable(agent.control_plane()));
  }
  return Table(rows);
}

std::string OriginText(v1::Origin origin) {
  if (origin == v1::ORIGIN_KUBERNETES) return "cluster";
  return origin == v1::ORIGIN_FILE ? "registry file" : "API";
}

std::string WorkloadTableText(const std::vector<v1::Workload>& workloads) {
  if (workloads.empty()) return "no workload\n";
  Rows rows = {{"WORKLOAD", "ADDRESSES", "IDENTITY", "PROTOCOL", "HEALTHY", "AGENT", "FROM"}};
  for (const v1::Workload& workload : workloads) {
    rows.push_back({absl::StrCat(workload.namespace_(), "/", workload.name()),
                    absl::StrJoin(workload.addresses(), ","), workload.spiffe_id(),
                    workload.protocol(), workload.healthy() ? "yes" : "NO",
                    workload.agent_connected()      ? "connected"
                    : workload.protocol() == "NONE" ? "-"
                                                    : "NOT CONNECTED",
                    OriginText(workload.origin())});
  }
  return Table(rows);
}

}  // namespace

int RunStatus(const CommandContext& context) {
  using Status = v1::GetStatusResponse;
  const auto asked = AskFleet<Status, OperatorClient>(context.clients, [](OperatorClient* client) {
    return client->Call(&OperatorClient::Stub::GetStatus, v1::GetStatusRequest());
  });
  if (!asked.ok()) return Failed(asked.status());
  if (context.clients.size() == 1) {
    Print(context.json ? MessageJson(asked->answers.front())
                       : StatusText(asked->answers.front(), context.control_plane, context.now));
    return kDone;
  }
  Print(context.json ? FleetStatusJson(*asked) : FleetStatusText(*asked, context.now));
  return Finish(kDone, asked->missing);
}

int RunWorkloads(const CommandContext& context) {
  const auto asked = AskForWorkloads(context, absl::GetFlag(FLAGS_namespace));
  if (!asked.ok()) return Failed(asked.status());
  const Workloads workloads = MergeWorkloads(asked->answers);
  Print(context.json ? JsonArray(workloads) : WorkloadTableText(workloads));
  return Finish(kDone, asked->missing);
}

int RunServices(const CommandContext& context) {
  v1::ListServicesRequest request;
  request.set_page_size(1000);
  request.set_namespace_(absl::GetFlag(FLAGS_namespace));
  const auto services = context.client->ListAll(&OperatorClient::Stub::ListServices, request,
                                                &v1::ListServicesResponse::mutable_services);
  if (!services.ok()) return Failed(services.status());
  if (context.json) {
    Print(JsonArray(*services));
    return kDone;
  }
  Rows rows = {{"SERVICE", "ADDRESSES", "PORTS", "ENDPOINTS", "FROM"}};
  for (const v1::Service& service : *services) {
    rows.push_back(
        {service.name(), absl::StrJoin(service.addresses(), ","),
         absl::StrJoin(service.ports(), ","),
         absl::StrCat(service.usable_endpoints(), " of ", service.endpoints(), " usable"),
         OriginText(service.origin())});
  }
  Print(services->empty() ? "no service\n" : Table(rows));
  return kDone;
}

int RunAgents(const CommandContext& context) {
  auto asked = AskForAgents(context);
  if (!asked.ok()) return Failed(asked.status());
  const Agents agents = AgentsOf(&*asked);
  Print(context.json ? JsonArray(agents)
                     : AgentTableText(agents, context.now, context.clients.size() > 1));
  return Finish(kDone, asked->missing);
}

int RunCerts(const CommandContext& context) {
  auto asked = AskForAgents(context);
  if (!asked.ok()) return Failed(asked.status());
  Agents agents = AgentsOf(&*asked);
  agents.erase(
      std::remove_if(agents.begin(), agents.end(),
                     [](const v1::Agent& agent) { return !agent.has_certificate_not_after(); }),
      agents.end());
  std::stable_sort(agents.begin(), agents.end(), [](const v1::Agent& a, const v1::Agent& b) {
    return TimeOf(a.certificate_not_after()) < TimeOf(b.certificate_not_after());
  });
  if (context.json) {
    Print(JsonArray(agents));
    return Finish(kDone, asked->missing);
  }
  Rows rows = {{"IDENTITY", "SERIAL", "END", "", "AGENT"}};
  for (const v1::Agent& agent : agents) {
    rows.push_back({agent.spiffe_id(), agent.certificate_serial(),
                    Rfc3339(agent.certificate_not_after()), CertificateText(agent, context.now),
                    ConnectedText(agent, context.now)});
  }
  Print(agents.empty() ? "no certificate is known of\n" : Table(rows));
  return Finish(kDone, asked->missing);
}

int RunIdentity(const CommandContext& context) {
  const std::string& id = context.arguments.front();
  const absl::Status valid = SpiffeId::Parse(id).status();
  if (!valid.ok()) return BadUsage(valid);
  const auto registered = AskForWorkloads(context);
  if (!registered.ok()) return Failed(registered.status());
  Workloads workloads = MergeWorkloads(registered->answers);
  workloads.erase(
      std::remove_if(workloads.begin(), workloads.end(),
                     [&id](const v1::Workload& workload) { return workload.spiffe_id() != id; }),
      workloads.end());
  auto asked = AskForAgents(context, id);
  if (!asked.ok()) return Failed(asked.status());
  const Agents agents = AgentsOf(&*asked);
  if (context.json) {
    Print(absl::StrCat("{\"workloads\": ", absl::StripSuffix(JsonArray(workloads), "\n"),
                       ",\n\"agents\": ", absl::StripSuffix(JsonArray(agents), "\n"), "}\n"));
  } else {
    Print(absl::StrCat(id, "\n\n", WorkloadTableText(workloads), "\n",
                       AgentTableText(agents, context.now, context.clients.size() > 1)));
  }
  return Finish(workloads.empty() && agents.empty() ? kProblem : kDone, asked->missing);
}

}  // namespace byrnie
