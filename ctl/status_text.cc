#include "ctl/status_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/telemetry/json_text.h"
#include "ctl/table.h"

namespace byrnie {

using byrnie::operator_::v1::Agent;
using byrnie::operator_::v1::Condition;
using byrnie::operator_::v1::GetStatusResponse;

namespace {

const char* StateText(Condition::State state) {
  switch (state) {
    case Condition::STATE_OK:
      return "ok";
    case Condition::STATE_FAIL:
      return "fail";
    default:
      return "warn";
  }
}

// Those that are not as they should be; empty: all are.
std::string ConditionsText(const GetStatusResponse& status) {
  std::vector<std::vector<std::string>> rows;
  for (const Condition& condition : status.conditions()) {
    if (condition.state() == Condition::STATE_OK) continue;
    rows.push_back(
        {absl::AsciiStrToUpper(StateText(condition.state())), condition.name(),
         absl::StrCat("for ", ShortDuration(TimeOf(status.time()) - TimeOf(condition.since()))),
         Printable(condition.message())});
  }
  return rows.empty() ? "" : absl::StrCat("\n", Table(rows));
}

// "16500 agents connected, with troubles: certificate-revoked 3; the first 1000:".
std::string AgentsLine(const GetStatusResponse& status) {
  const uint64_t shown = static_cast<uint64_t>(status.agents_size());
  // A control plane of an older release does not count, and gives all.
  const uint64_t connected = std::max(status.agents_connected(), shown);
  std::string line = absl::StrCat(Plural(connected, "agent"), " connected");
  std::vector<std::string> troubles;
  for (const auto& count : status.agent_troubles()) {
    troubles.push_back(absl::StrCat(TroubleText(count.trouble()), " ", count.agents()));
  }
  if (!troubles.empty()) {
    absl::StrAppend(&line, ", with troubles: ", absl::StrJoin(troubles, ", "));
  }
  if (shown < connected) absl::StrAppend(&line, "; the first ", shown, ":");
  return line;
}

// What all control planes of a store have in common.
std::vector<std::vector<std::string>> CommonFacts(const GetStatusResponse& status, absl::Time now) {
  return {{"you are", absl::StrCat(status.caller(), ", ", RoleText(status.caller_role()))},
          {"trust domain", status.trust_domain()},
          {"root certificate", Expiry(TimeOf(status.root_not_after()), now)},
          {"", absl::StrCat("SHA-256 ", status.root_fingerprint())},
          {"registry", absl::StrCat(Plural(status.workloads(), "workload"), ", ",
                                    Plural(status.services(), "service"), ", ",
                                    Plural(status.policies(), "policy"))}};
}

std::string IssuedText(const GetStatusResponse& status) {
  return absl::StrCat(Plural(status.certificates_issued(), "certificate"), " since the start");
}

bool Has(const Agent& agent, Agent::Trouble trouble) {
  return absl::c_count(agent.troubles(), trouble) > 0;
}

std::string CertificateText(const Agent& agent, absl::Time now) {
  if (!agent.has_certificate_not_after()) return "not issued since the start";
  return absl::StrCat(Has(agent, Agent::TROUBLE_CERTIFICATE_REVOKED) ? "REVOKED, " : "",
                      Expiry(TimeOf(agent.certificate_not_after()), now));
}

std::string BundleText(const Agent& agent) {
  if (agent.acknowledged_bundle_version() == 0) return "not acknowledged";
  return Has(agent, Agent::TROUBLE_BUNDLE_BEHIND)
             ? absl::StrCat("version ", agent.acknowledged_bundle_version())
             : "current";
}

std::string AgentRows(const std::vector<Agent>& agents, absl::Time now, bool of_several) {
  std::vector<std::vector<std::string>> rows = {
      {"AGENT", "ADDRESS", "CONNECTED", "CERTIFICATE", "TRUST BUNDLE"}};
  if (of_several) rows.front().push_back("CONTROL PLANE");
  for (const Agent& agent : agents) {
    rows.push_back({agent.spiffe_id(), agent.address(),
                    absl::StrCat("for ", ShortDuration(now - TimeOf(agent.connected_since()))),
                    CertificateText(agent, now), BundleText(agent)});
    if (of_several) rows.back().push_back(Printable(agent.control_plane()));
  }
  return Table(rows);
}

// An object with more fields behind its own; each "\"name\": value".
std::string WithFields(const std::string& object, const std::vector<std::string>& fields) {
  const absl::string_view open = absl::StripSuffix(absl::StripSuffix(object, "\n"), "}");
  return absl::StrCat(absl::StripTrailingAsciiWhitespace(open), ",\n", absl::StrJoin(fields, ",\n"),
                      "\n}");
}

std::string JsonText(absl::string_view text) {
  std::string escaped = "\"";
  AppendJsonEscaped(text, &escaped);
  return escaped + "\"";
}

}  // namespace

std::string TroubleText(Agent::Trouble trouble) {
  std::string name =
      absl::AsciiStrToLower(absl::StripPrefix(Agent::Trouble_Name(trouble), "TROUBLE_"));
  if (name.empty()) name = absl::StrCat("trouble-", static_cast<int>(trouble));
  return absl::StrReplaceAll(name, {{"_", "-"}});
}

std::string RoleText(byrnie::operator_::v1::Role role) {
  switch (role) {
    case byrnie::operator_::v1::ROLE_VIEWER:
      return "viewer";
    case byrnie::operator_::v1::ROLE_OPERATOR:
      return "operator";
    case byrnie::operator_::v1::ROLE_ADMIN:
      return "admin";
    default:
      return "of an unknown role";
  }
}

std::string StatusText(const GetStatusResponse& status, absl::string_view target, absl::Time now) {
  std::vector<std::vector<std::string>> facts = {
      {"control plane",
       absl::StrCat(target, status.control_plane().empty() ? "" : ", ",
                    Printable(status.control_plane()), status.release().empty() ? "" : ", release ",
                    Printable(status.release()))}};
  for (std::vector<std::string>& row : CommonFacts(status, now)) facts.push_back(std::move(row));
  facts.push_back({"trust bundle", absl::StrCat("version ", status.trust_bundle_version())});
  facts.push_back({"issued", IssuedText(status)});
  std::string text = Table(facts);
  absl::StrAppend(&text, ConditionsText(status));
  if (status.agents().empty() && status.agents_connected() == 0) {
    return absl::StrCat(text, "\nno agent is connected\n");
  }
  return absl::StrCat(text, "\n", AgentsLine(status), "\n",
                      AgentRows({status.agents().begin(), status.agents().end()}, now, false));
}

std::string FleetStatusText(const FleetAnswers<GetStatusResponse>& fleet, absl::Time now) {
  std::string text = Table(CommonFacts(fleet.answers.front(), now));
  std::vector<std::vector<std::string>> planes = {
      {"CONTROL PLANE", "ADDRESS", "RELEASE", "AGENTS", "ISSUED", "STATE"}};
  std::string conditions;
  std::vector<Agent> agents;
  uint64_t connected = 0;
  for (size_t i = 0; i < fleet.answers.size(); ++i) {
    const GetStatusResponse& status = fleet.answers[i];
    const std::string name = Printable(status.control_plane());
    const std::string odd = ConditionsText(status);
    planes.push_back({name, fleet.targets[i], Printable(status.release()),
                      absl::StrCat(status.agents_connected()), IssuedText(status),
                      odd.empty() ? "good" : "see below"});
    if (!odd.empty()) absl::StrAppend(&conditions, "\n", name, ":", odd);
    agents.insert(agents.end(), status.agents().begin(), status.agents().end());
    connected += status.agents_connected();
  }
  for (const MissingAnswer& missing : fleet.missing) {
    planes.push_back({"?", missing.target, "", "", "", "HAS NOT ANSWERED"});
  }
  absl::StrAppend(&text, "\n", Table(planes), conditions);
  if (connected == 0) return absl::StrCat(text, "\nno agent is connected\n");
  return absl::StrCat(text, "\n", Plural(connected, "agent"), " connected\n",
                      AgentRows(MergeAgents(std::move(agents)), now, true));
}

std::string FleetStatusJson(const FleetAnswers<GetStatusResponse>& fleet) {
  std::vector<std::string> planes;
  std::vector<Agent> agents;
  for (size_t i = 0; i < fleet.answers.size(); ++i) {
    GetStatusResponse status = fleet.answers[i];
    agents.insert(agents.end(), status.agents().begin(), status.agents().end());
    status.clear_agents();
    planes.push_back(WithFields(
        MessageJson(status),
        {absl::StrCat("\"address\": ", JsonText(fleet.targets[i])), "\"answered\": true"}));
  }
  for (const MissingAnswer& missing : fleet.missing) {
    planes.push_back(absl::StrCat("{\n\"address\": ", JsonText(missing.target),
                                  ",\n\"answered\": false,\n\"error\": ", JsonText(missing.why),
                                  "\n}"));
  }
  GetStatusResponse whole = fleet.answers.front();
  whole.clear_agents();
  for (Agent& agent : MergeAgents(std::move(agents))) *whole.add_agents() = std::move(agent);
  return WithFields(MessageJson(whole), {absl::StrCat("\"control_planes\": [\n",
                                                      absl::StrJoin(planes, ",\n"), "\n]")}) +
         "\n";
}

}  // namespace byrnie
