// status, workloads list, services list, agents, certs, identity, events: what the mesh is.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/identity/spiffe_id.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/status_text.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Rows = std::vector<std::vector<std::string>>;

absl::StatusOr<std::vector<v1::Agent>> ListAgents(OperatorClient* client,
                                                  const std::string& id = "") {
  v1::ListAgentsRequest request;
  request.set_page_size(1000);
  request.set_spiffe_id(id);
  return client->ListAll(&OperatorClient::Stub::ListAgents, request,
                         &v1::ListAgentsResponse::mutable_agents);
}

absl::StatusOr<std::vector<v1::Workload>> ListWorkloads(OperatorClient* client,
                                                        const std::string& ns = "") {
  v1::ListWorkloadsRequest request;
  request.set_page_size(1000);
  request.set_namespace_(ns);
  return client->ListAll(&OperatorClient::Stub::ListWorkloads, request,
                         &v1::ListWorkloadsResponse::mutable_workloads);
}

std::string ConnectedText(const v1::Agent& agent, absl::Time now) {
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

std::string AgentTableText(const std::vector<v1::Agent>& agents, absl::Time now) {
  if (agents.empty()) return "no agent has connected since the control plane started\n";
  Rows rows = {{"AGENT", "ADDRESS", "STATE", "CERTIFICATE", "BUNDLE", "CLOCK", "RELEASE"}};
  for (const v1::Agent& agent : agents) {
    rows.push_back({agent.spiffe_id(), agent.address(), ConnectedText(agent, now),
                    CertificateText(agent, now),
                    agent.acknowledged_bundle_version() == 0
                        ? "not acknowledged"
                        : absl::StrCat("version ", agent.acknowledged_bundle_version()),
                    ClockText(agent), Printable(agent.release())});
  }
  return Table(rows);
}

std::string OriginText(v1::Origin origin) {
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

std::string EventText(const v1::Event& event) {
  return absl::StrCat(
      Rfc3339(event.time()), "  ",
      absl::AsciiStrToLower(absl::StripPrefix(v1::Event::Kind_Name(event.kind()), "KIND_")), "  ",
      Printable(event.subject()), "  ", Printable(event.message()),
      event.actor().empty() ? "" : absl::StrCat("  by ", Printable(event.actor())), "\n");
}

}  // namespace

int RunStatus(const CommandContext& context) {
  const auto status =
      context.client->Call(&OperatorClient::Stub::GetStatus, v1::GetStatusRequest());
  if (!status.ok()) return Failed(status.status());
  Print(context.json ? StatusJson(*status)
                     : StatusText(*status, context.control_plane, context.now));
  return kDone;
}

int RunWorkloads(const CommandContext& context) {
  const auto workloads = ListWorkloads(context.client, absl::GetFlag(FLAGS_namespace));
  if (!workloads.ok()) return Failed(workloads.status());
  Print(context.json ? JsonArray(*workloads) : WorkloadTableText(*workloads));
  return kDone;
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
  const auto agents = ListAgents(context.client);
  if (!agents.ok()) return Failed(agents.status());
  Print(context.json ? JsonArray(*agents) : AgentTableText(*agents, context.now));
  return kDone;
}

int RunCerts(const CommandContext& context) {
  auto agents = ListAgents(context.client);
  if (!agents.ok()) return Failed(agents.status());
  agents->erase(
      std::remove_if(agents->begin(), agents->end(),
                     [](const v1::Agent& agent) { return !agent.has_certificate_not_after(); }),
      agents->end());
  std::stable_sort(agents->begin(), agents->end(), [](const v1::Agent& a, const v1::Agent& b) {
    return TimeOf(a.certificate_not_after()) < TimeOf(b.certificate_not_after());
  });
  if (context.json) {
    Print(JsonArray(*agents));
    return kDone;
  }
  Rows rows = {{"IDENTITY", "SERIAL", "END", "", "AGENT"}};
  for (const v1::Agent& agent : *agents) {
    rows.push_back({agent.spiffe_id(), agent.certificate_serial(),
                    Rfc3339(agent.certificate_not_after()), CertificateText(agent, context.now),
                    ConnectedText(agent, context.now)});
  }
  Print(agents->empty() ? "no certificate is known of\n" : Table(rows));
  return kDone;
}

int RunIdentity(const CommandContext& context) {
  const std::string& id = context.arguments.front();
  const absl::Status valid = SpiffeId::Parse(id).status();
  if (!valid.ok()) return BadUsage(valid);
  auto workloads = ListWorkloads(context.client);
  if (!workloads.ok()) return Failed(workloads.status());
  workloads->erase(
      std::remove_if(workloads->begin(), workloads->end(),
                     [&id](const v1::Workload& workload) { return workload.spiffe_id() != id; }),
      workloads->end());
  const auto agents = ListAgents(context.client, id);
  if (!agents.ok()) return Failed(agents.status());
  if (context.json) {
    Print(absl::StrCat("{\"workloads\": ", absl::StripSuffix(JsonArray(*workloads), "\n"),
                       ",\n\"agents\": ", absl::StripSuffix(JsonArray(*agents), "\n"), "}\n"));
  } else {
    Print(absl::StrCat(id, "\n\n", WorkloadTableText(*workloads), "\n",
                       AgentTableText(*agents, context.now)));
  }
  return workloads->empty() && agents->empty() ? kProblem : kDone;
}

int RunEvents(const CommandContext& context) {
  v1::WatchEventsRequest request;
  request.set_cursor(absl::GetFlag(FLAGS_cursor));
  request.set_follow(absl::GetFlag(FLAGS_follow));
  for (absl::string_view name :
       absl::StrSplit(absl::GetFlag(FLAGS_kinds), ',', absl::SkipEmpty())) {
    v1::Event::Kind kind;
    if (!v1::Event::Kind_Parse(absl::StrCat("KIND_", absl::AsciiStrToUpper(name)), &kind)) {
      std::vector<std::string> known;
      for (int i = 1; i < v1::Event::Kind_ARRAYSIZE; ++i) {
        known.push_back(absl::AsciiStrToLower(
            absl::StripPrefix(v1::Event::Kind_Name(static_cast<v1::Event::Kind>(i)), "KIND_")));
      }
      return BadUsage(
          InFlag("kinds", absl::StrCat("\"", name, "\" is none of ", absl::StrJoin(known, ", "))));
    }
    request.add_kinds(kind);
  }
  const absl::Status ended =
      context.client->WatchEvents(request, [&context](const v1::WatchEventsResponse& response) {
        if (context.json) {
          Print(MessageJson(response));
        } else if (response.has_missed()) {
          Print(response.missed().count() > 0
                    ? absl::StrCat("-- ", Plural(response.missed().count(), "event"),
                                   " not kept any more\n")
                    : "-- the control plane was started again: what was before is not known\n");
        } else {
          Print(EventText(response.event()));
        }
        std::fflush(stdout);
        return true;
      });
  return ended.ok() ? static_cast<int>(kDone) : Failed(ended);
}

}  // namespace byrnie
