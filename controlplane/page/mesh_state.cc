#include "controlplane/page/mesh_state.h"

#include <algorithm>
#include <utility>

#include "common/base/json_writer.h"
#include "common/base/version.h"

namespace byrnie {
namespace {

// Agents are of the own mesh alone.
void Write(const AgentTable::Agent& agent, JsonWriter* json) {
  json->BeginObject()
      .Field("id", agent.id.text())
      .Field("name", ShortIdentity(agent.id.text(), agent.id.text()))
      .Field("address", agent.address)
      .Field("connected", agent.connected)
      .Field("proof", agent.certificate_proof)
      .Field("bundle", agent.acknowledged_bundle_version)
      .Field("last_seen", absl::ToUnixMillis(agent.last_seen));
  json->Key("not_after");
  if (agent.certificate_not_after.has_value()) {
    json->Value(absl::ToUnixMillis(*agent.certificate_not_after));
  } else {
    json->Null();
  }
  json->EndObject();
}

void Write(const FlowGroup& flow, JsonWriter* json) {
  json->BeginObject()
      .Field("source", flow.source)
      .Field("source_id", flow.source_spiffe_id)
      .Field("destination", flow.destination)
      .Field("destination_id", flow.destination_spiffe_id)
      .Field("port", flow.port)
      .Field("service", flow.service)
      .Field("path", flow.path)
      .Field("verdict", VerdictText(flow.verdict))
      .Field("reason", flow.reason)
      .Field("connections", flow.connections)
      .Field("open", flow.open)
      .Field("sent", flow.bytes_sent)
      .Field("received", flow.bytes_received)
      .Field("first_seen", absl::ToUnixMillis(flow.first_seen))
      .Field("last_seen", absl::ToUnixMillis(flow.last_seen))
      .EndObject();
}

void Write(const TrustSummary& trust, JsonWriter* json) {
  json->BeginObject()
      .Field("mode", trust.mode)
      .Field("rotates", trust.rotates)
      .Field("step", trust.step)
      .Field("since", absl::ToUnixMillis(trust.since))
      .Field("automatic", trust.automatic)
      .Field("move", trust.move)
      .Field("consequence", trust.consequence);
  json->Key("roots").BeginArray();
  for (const TrustSummary::Root& root : trust.roots) {
    json->BeginObject()
        .Field("fingerprint", root.fingerprint)
        .Field("subject", root.subject)
        .Field("not_after", absl::ToUnixMillis(root.not_after))
        .Field("trusted", root.trusted)
        .Field("signs", root.signs)
        .Field("tainted", root.tainted)
        .EndObject();
  }
  json->EndArray().Key("blockers").BeginArray();
  for (const TrustSummary::Blocker& blocker : trust.blockers) {
    json->BeginObject()
        .Field("agent", blocker.agent)
        .Field("address", blocker.address)
        .Field("reason", blocker.reason)
        .EndObject();
  }
  json->EndArray().Field("blockers_total", trust.blockers_total).EndObject();
}

}  // namespace

std::string ToJson(const MeshState& state) {
  std::vector<AgentTable::Agent> agents = state.agents;
  std::stable_sort(agents.begin(), agents.end(),
                   [](const AgentTable::Agent& a, const AgentTable::Agent& b) {
                     return a.certificate_not_after.value_or(absl::InfiniteFuture()) <
                            b.certificate_not_after.value_or(absl::InfiniteFuture());
                   });
  const auto connected = std::count_if(
      agents.begin(), agents.end(), [](const AgentTable::Agent& agent) { return agent.connected; });
  JsonWriter json;
  json.BeginObject()
      .Field("release", kRelease)
      .Field("time", absl::ToUnixMillis(state.time))
      .Field("control_plane", state.control_plane)
      .Field("trust_domain", state.trust_domain)
      .Field("workload_ttl", absl::ToInt64Milliseconds(state.workload_ttl))
      .Field("workloads", state.workloads)
      .Field("services", state.services)
      .Field("policies", state.policies)
      .Field("agents_total", agents.size())
      .Field("agents_connected", connected)
      .Field("flows_total", state.flows.size());
  json.Key("other_control_planes").BeginArray();
  for (const std::string& other : state.other_control_planes) json.Value(other);
  json.EndArray().Key("trust");
  Write(state.trust, &json);
  json.Key("agents").BeginArray();
  for (size_t i = 0; i < std::min(agents.size(), MeshState::kMaxAgents); ++i) {
    Write(agents[i], &json);
  }
  json.EndArray().Key("flows").BeginArray();
  for (size_t i = 0; i < std::min(state.flows.size(), MeshState::kMaxFlows); ++i) {
    Write(state.flows[i], &json);
  }
  json.EndArray().EndObject();
  return std::move(json).Finish();
}

}  // namespace byrnie
