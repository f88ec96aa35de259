#include "ctl/mesh_check.h"

#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/version.h"
#include "ctl/table.h"

namespace byrnie {
namespace {

using Outcome = CheckResult::Outcome;
namespace v1 = byrnie::operator_::v1;

// Certificates are dated back by a minute; half of it is time to do something.
constexpr absl::Duration kMaxClockOffset = absl::Seconds(30);

CheckResult Good(const char* name, std::string message) {
  return {name, Outcome::kGood, std::move(message), ""};
}

CheckResult Bad(const char* name, std::string message, std::string remedy) {
  return {name, Outcome::kBad, std::move(message), std::move(remedy)};
}

CheckResult Note(const char* name, std::string message, std::string remedy) {
  return {name, Outcome::kNote, std::move(message), std::move(remedy)};
}

Outcome OutcomeOf(v1::Condition::State state) {
  if (state == v1::Condition::STATE_OK) return Outcome::kGood;
  return state == v1::Condition::STATE_FAIL ? Outcome::kBad : Outcome::kNote;
}

// What control planes say of themselves, by condition: the worst that any of them says, and of
// those that are not good which it is.
std::vector<CheckResult> Conditions(const MeshState& state) {
  std::vector<CheckResult> results;
  for (const v1::GetStatusResponse& status : state.statuses) {
    for (const v1::Condition& condition : status.conditions()) {
      auto result = absl::c_find_if(
          results, [&](const CheckResult& known) { return known.name == condition.name(); });
      const Outcome outcome = OutcomeOf(condition.state());
      std::string message = condition.message();
      if (outcome != Outcome::kGood) {
        absl::StrAppend(&message, " (so for ",
                        ShortDuration(TimeOf(status.time()) - TimeOf(condition.since())), ")");
        if (state.statuses.size() > 1) {
          message = absl::StrCat(status.control_plane(), ": ", message);
        }
      }
      if (result == results.end()) {
        results.push_back({condition.name(), outcome, message, condition.remedy()});
        continue;
      }
      if (outcome == Outcome::kGood) continue;
      if (result->outcome == Outcome::kGood) {
        result->message = message;
      } else {
        absl::StrAppend(&result->message, "; ", message);
      }
      if (outcome > result->outcome) {
        result->outcome = outcome;
        result->remedy = condition.remedy();
      }
    }
  }
  if (!results.empty()) return results;
  return {Note("control-plane", "the control plane does not say how it is itself",
               "ask again in a second if it was just started; an older release never says")};
}

// Names of control planes of the store that have not answered, because nobody has asked them or
// because they could not.
std::vector<std::string> Unheard(const MeshState& state) {
  std::set<std::string> names;
  for (const v1::GetStatusResponse& status : state.statuses) {
    names.insert(status.other_control_planes().begin(), status.other_control_planes().end());
  }
  for (const v1::GetStatusResponse& status : state.statuses) names.erase(status.control_plane());
  return {names.begin(), names.end()};
}

CheckResult Fleet(const MeshState& state) {
  std::vector<std::string> unheard = Unheard(state), missing;
  for (std::string& name : unheard) name = Printable(name);
  for (const MissingAnswer& one : state.missing) {
    missing.push_back(absl::StrCat(one.target, " (", one.why, ")"));
  }
  const std::string of_store =
      unheard.empty() ? ""
                      : absl::StrCat("; of those that share the store these are not looked at: ",
                                     SomeNames(unheard));
  if (!missing.empty()) {
    return Bad("fleet", absl::StrCat("has not answered: ", SomeNames(missing), of_store),
               "see whether it runs; what only it knows, its agents above all, is missing here");
  }
  if (!unheard.empty()) {
    return Note("fleet", absl::StrCat("not all control planes were asked", of_store),
                "give all of them in --control_plane: each knows its own agents alone");
  }
  return Good("fleet", absl::StrCat("asked ", Plural(state.statuses.size(), "control plane"),
                                    ", and no other shares the store"));
}

CheckResult OwnClock(const MeshState& state) {
  const absl::Duration offset = state.now - TimeOf(state.status.time());
  if (absl::AbsDuration(offset) <= kMaxClockOffset) {
    return Good("own-clock", "this machine's clock agrees with the control plane's");
  }
  return Bad(
      "own-clock",
      absl::StrCat("this machine's clock is ", ShortDuration(absl::AbsDuration(offset)),
                   offset > absl::ZeroDuration() ? " ahead of" : " behind", " the control plane's"),
      "set the clock of whichever is wrong (NTP)");
}

CheckResult Registry(const MeshState& state) {
  const bool in_use = std::any_of(state.agents.begin(), state.agents.end(),
                                  [](const v1::Agent& agent) { return agent.connected(); });
  if (state.workloads.empty() && in_use) {
    return Bad("registry", "no workload is registered, and agents are connected",
               "see --registry of the control plane: without it there are neither services nor "
               "policies but those of the API");
  }
  if (state.workloads.empty()) {
    // A file that is rejected is a condition of its own, and leaves what was there before.
    return Note("registry", "no workload is registered yet",
                "byrniectl workloads apply -f FILE registers some, or what --registry of the "
                "control plane names");
  }
  return Good("registry", absl::StrCat(Plural(state.workloads.size(), "workload"), ", ",
                                       Plural(state.services.size(), "service"), ", ",
                                       Plural(state.status.policies(), "policy")));
}

// "policy demo/no", of entries that two control planes do not have alike.
std::vector<std::string> Differences(const RegistryContents& one, const RegistryContents& other) {
  std::vector<std::string> names;
  for (const auto& [name, digest] : one.entries) {
    const auto found = other.entries.find(name);
    if (found == other.entries.end() || found->second != digest) names.push_back(Printable(name));
  }
  for (const auto& entry : other.entries) {
    if (one.entries.count(entry.first) == 0) names.push_back(Printable(entry.first));
  }
  return names;
}

CheckResult SameRegistry(const MeshState& state) {
  for (const RegistryContents& other : state.contents) {
    const RegistryContents& first = state.contents.front();
    const std::vector<std::string> names = Differences(first, other);
    if (names.empty()) continue;
    return Bad(
        "same-registry",
        absl::StrCat(Printable(first.control_plane), " and ", Printable(other.control_plane),
                     " have not the same in force: ", SomeNames(names),
                     "; agents go by the one they are connected to"),
        "give all control planes of a store the same registry file; the log and the condition "
        "input-files say whether one has rejected it");
  }
  return Good("same-registry", state.contents.size() > 1
                                   ? "all that were asked have the same in force"
                                   : "one control plane was asked");
}

// "10.0.0.1" of "10.0.0.1:4711".
std::string HostOf(const v1::Agent& agent) {
  const std::string host = agent.address().substr(0, agent.address().rfind(':'));
  return host.size() > 2 && host.front() == '[' ? host.substr(1, host.size() - 2) : host;
}

// Who is connected from where. An identity is no name: the pods of a Deployment share one.
class AgentPlaces {
 public:
  explicit AgentPlaces(const MeshState& state) {
    std::set<std::string> addresses;
    for (const v1::Workload& workload : state.workloads) {
      addresses.insert(workload.addresses().begin(), workload.addresses().end());
    }
    for (const v1::Agent& agent : state.agents) {
      const std::string host = HostOf(agent);
      const auto place = at_.emplace(std::make_pair(agent.spiffe_id(), host), &agent).first;
      if (agent.connected()) place->second = &agent;
      if (agent.connected() && addresses.count(host) == 0) ++elsewhere_[agent.spiffe_id()];
    }
  }
  // The one at an address of a workload, connected if any is; null: never seen.
  const v1::Agent* Of(const v1::Workload& workload) const {
    const v1::Agent* agent = nullptr;
    for (const std::string& address : workload.addresses()) {
      const auto found = at_.find({workload.spiffe_id(), address});
      if (found != at_.end() && (agent == nullptr || !agent->connected())) agent = found->second;
    }
    return agent;
  }
  // How many of an identity are connected from where no workload is, as behind an address
  // translation.
  size_t Elsewhere(const std::string& id) const {
    const auto found = elsewhere_.find(id);
    return found == elsewhere_.end() ? 0 : found->second;
  }

 private:
  std::map<std::pair<std::string, std::string>, const v1::Agent*> at_;
  std::map<std::string, size_t> elsewhere_;
};

// "demo/web-1 (10.0.0.1 on node n1, last seen 3 min 4 s ago)".
std::string WithoutAgent(const v1::Workload& workload, const v1::Agent* agent, absl::Time now) {
  std::vector<std::string> facts;
  std::string place = absl::StrJoin(workload.addresses(), ", ");
  if (!workload.node().empty()) {
    absl::StrAppend(&place, place.empty() ? "" : " ", "on node ", Printable(workload.node()));
  }
  if (!place.empty()) facts.push_back(place);
  facts.push_back(
      agent == nullptr
          ? std::string("never seen")
          : absl::StrCat("last seen ", ShortDuration(now - TimeOf(agent->last_seen())), " ago"));
  return absl::StrCat(workload.namespace_(), "/", workload.name(), " (", absl::StrJoin(facts, ", "),
                      ")");
}

// Whether an agent of ours is to be there. Of a cluster's pods those with our sidecar are HBONE;
// what Istio's sidecars speak is another mesh's.
bool ExpectsAgent(const v1::Workload& workload) {
  if (workload.origin() == v1::ORIGIN_KUBERNETES) return workload.protocol() == "HBONE";
  return workload.protocol() != "NONE";
}

CheckResult AgentsConnected(const MeshState& state) {
  const AgentPlaces places(state);
  const absl::Time now = TimeOf(state.status.time());
  std::vector<std::string> missing;
  // By identity, those whose agent may be one from elsewhere.
  std::map<std::string, std::vector<std::string>> unsure;
  size_t expected = 0;
  for (const v1::Workload& workload : state.workloads) {
    if (!ExpectsAgent(workload)) continue;
    ++expected;
    const v1::Agent* const agent = places.Of(workload);
    if (!workload.agent_connected() || (agent != nullptr && !agent->connected())) {
      missing.push_back(WithoutAgent(workload, agent, now));
    } else if (agent == nullptr) {
      unsure[workload.spiffe_id()].push_back(WithoutAgent(workload, agent, now));
    }
  }
  for (const auto& [id, workloads] : unsure) {
    const size_t elsewhere = places.Elsewhere(id);
    if (elsewhere >= workloads.size()) continue;
    if (elsewhere == 0) {
      missing.insert(missing.end(), workloads.begin(), workloads.end());
      continue;
    }
    missing.push_back(absl::StrCat(workloads.size() - elsewhere, " of ", SomeNames(workloads),
                                   ", whose agents come from other addresses"));
  }
  if (missing.empty()) {
    std::vector<std::string> elsewhere;
    for (const auto& entry : unsure) {
      elsewhere.insert(elsewhere.end(), entry.second.begin(), entry.second.end());
    }
    return Good("agents-connected",
                absl::StrCat("agents of all ", Plural(expected, "workload"), " are connected",
                             elsewhere.empty()
                                 ? ""
                                 : absl::StrCat(", from another address than the registry has, "
                                                "which is wrong unless addresses are translated: ",
                                                SomeNames(elsewhere))));
  }
  if (!state.missing.empty() || !Unheard(state).empty()) {
    return Note("agents-connected",
                absl::StrCat("no agent is connected, to a control plane that has answered, of ",
                             SomeNames(missing)),
                "ask all control planes, see \"fleet\"");
  }
  return Bad(
      "agents-connected", absl::StrCat("no agent is connected of ", SomeNames(missing)),
      "see whether byrnie-certagent runs there and what its log says; a workload outside the "
      "mesh is registered with \"tunnel_protocol\": \"NONE\"");
}

// Those with a trouble; "spiffe://td/a", with what is said of it behind.
std::vector<std::string> With(v1::Agent::Trouble trouble, const MeshState& state,
                              std::string (*detail)(const v1::Agent&) = nullptr) {
  std::vector<std::string> names;
  for (const v1::Agent& agent : state.agents) {
    if (absl::c_count(agent.troubles(), trouble) == 0) continue;
    names.push_back(detail == nullptr ? agent.spiffe_id()
                                      : absl::StrCat(agent.spiffe_id(), detail(agent)));
  }
  return names;
}

// Those whom a certificate is of use to: who is connected, or whose identity a workload of the
// registry has. Of the others, jobs and machines that are done, it may well end. Says how many
// those are that have one of the troubles.
MeshState WithoutDeparted(const MeshState& state, size_t* departed) {
  std::set<std::string> registered;
  for (const v1::Workload& workload : state.workloads) registered.insert(workload.spiffe_id());
  MeshState present;
  for (const v1::Agent& agent : state.agents) {
    if (agent.connected() || registered.count(agent.spiffe_id()) > 0) {
      present.agents.push_back(agent);
    } else if (absl::c_count(agent.troubles(), v1::Agent::TROUBLE_CERTIFICATE_ENDED) > 0) {
      ++*departed;
    }
  }
  return present;
}

// What brings back an agent whose certificate has ended: what it has to prove itself with. Of a
// certificate that was renewed ("svid") nobody tells by what its first one was proven.
std::string ComeBack(const MeshState& state) {
  bool by_join_token = false, by_token = false, unknown = false;
  for (const v1::Agent& agent : state.agents) {
    if (absl::c_count(agent.troubles(), v1::Agent::TROUBLE_CERTIFICATE_ENDED) == 0) continue;
    const std::string& proof = agent.certificate_proof();
    const bool token = absl::StartsWith(proof, "jwt:") || absl::StartsWith(proof, "kubernetes");
    by_join_token = by_join_token || proof == "join_token";
    by_token = by_token || token;
    unknown = unknown || (proof != "join_token" && !token);
  }
  constexpr char kLogs[] = "see the agents' logs for why they were not renewed; ";
  if (by_join_token && !by_token && !unknown) {
    return absl::StrCat(kLogs, "after its end only a new join token helps");
  }
  if (by_token && !by_join_token && !unknown) {
    return absl::StrCat(kLogs,
                        "they prove themselves anew with their tokens as soon as they reach the "
                        "control plane");
  }
  return absl::StrCat(kLogs,
                      "an agent that joined with a join token needs a new one now (byrniectl token "
                      "create), one with an issuer's or a service account's token comes back by "
                      "itself");
}

CheckResult Certificates(const MeshState& all) {
  size_t departed = 0;
  const MeshState state = WithoutDeparted(all, &departed);
  const auto ended = With(v1::Agent::TROUBLE_CERTIFICATE_ENDED, state);
  if (!ended.empty()) {
    return Bad("certificates", absl::StrCat("the certificates have ended of ", SomeNames(ended)),
               ComeBack(state));
  }
  const auto revoked = With(v1::Agent::TROUBLE_CERTIFICATE_REVOKED, state);
  if (!revoked.empty()) {
    return Note("certificates",
                absl::StrCat("the certificates are revoked of ", SomeNames(revoked)),
                "for who is to come back: see its agent's log for why it does not get another one");
  }
  const auto late = With(v1::Agent::TROUBLE_CERTIFICATE_ENDS_SOON, state);
  if (!late.empty()) {
    return Note("certificates", absl::StrCat("about to end are those of ", SomeNames(late)),
                "see the agents' logs for why they are not renewed");
  }
  return Good("certificates",
              departed == 0
                  ? "no certificate that is known of has ended or is revoked"
                  : absl::StrCat("no certificate of the mesh has ended or is revoked; those of ",
                                 Plural(departed, "agent"),
                                 " that went away, and that no workload is of, have ended"));
}

CheckResult Bundles(const MeshState& state) {
  const auto lagging = With(v1::Agent::TROUBLE_BUNDLE_BEHIND, state);
  if (lagging.empty()) return Good("trust-bundles", "all agents have the trust bundles in force");
  return Note("trust-bundles",
              absl::StrCat("not said to have the trust bundles in force: ", SomeNames(lagging)),
              "normal for seconds after a change; where it stays so, see /bundles of the agent");
}

CheckResult Clocks(const MeshState& state) {
  const auto wrong = With(v1::Agent::TROUBLE_CLOCK_WRONG, state, [](const v1::Agent& agent) {
    const absl::Duration offset = DurationOf(agent.clock_offset());
    return absl::StrCat(" (", ShortDuration(absl::AbsDuration(offset)),
                        offset > absl::ZeroDuration() ? " ahead)" : " behind)");
  });
  if (wrong.empty()) return Good("clocks", "the agents' clocks agree with the control plane's");
  return Bad("clocks", absl::StrCat("wrong clocks: ", SomeNames(wrong)),
             "set them (NTP): certificates are not valid there when they are here");
}

// A cluster has services without endpoints for good: scaled to zero, of an operator, of what has no
// mesh. What meshed pods are behind, and none of them can be reached, is trouble.
CheckResult Services(const MeshState& state) {
  std::set<std::string> meshed;
  for (const v1::Workload& workload : state.workloads) {
    if (ExpectsAgent(workload)) meshed.insert(workload.namespace_());
  }
  std::vector<std::string> registered, clusters, meant;
  for (const v1::Service& service : state.services) {
    if (service.usable_endpoints() != 0) continue;
    const std::string ns = service.name().substr(0, service.name().find('/'));
    if (service.origin() != v1::ORIGIN_KUBERNETES) {
      registered.push_back(service.name());
    } else if (service.endpoints() != 0 && meshed.count(ns) != 0) {
      clusters.push_back(service.name());
    } else {
      meant.push_back(service.name());
    }
  }
  if (!registered.empty()) {
    registered.insert(registered.end(), clusters.begin(), clusters.end());
    return Bad("services", absl::StrCat("no usable endpoint: ", SomeNames(registered)),
               "list the service in its workloads' \"services\", or make one healthy");
  }
  if (!clusters.empty()) {
    return Bad("services", absl::StrCat("pods, and none that is ready: ", SomeNames(clusters)),
               "see why with kubectl describe pod");
  }
  if (!meant.empty()) {
    return Note("services", absl::StrCat("no usable endpoint: ", SomeNames(meant)),
                "fine where it is scaled to zero, or has nothing to do with the mesh");
  }
  return Good("services", "every service has an endpoint that is usable");
}

CheckResult Policies(const MeshState& state) {
  if (state.policy_warnings.empty()) {
    return Good("policies", "no policy is probably another one than was meant");
  }
  const auto& [name, warning] = state.policy_warnings.front();
  return Note("policies",
              absl::StrCat(Plural(state.policy_warnings.size(), "policy"),
                           " probably not as meant: ", name, ": ", warning),
              absl::StrCat("byrniectl policy get ", name));
}

CheckResult Releases(const MeshState& state) {
  std::set<std::string> releases;
  for (const v1::Agent& agent : state.agents) {
    if (agent.connected() && !agent.release().empty()) releases.insert(agent.release());
  }
  std::set<std::string> planes;
  for (const v1::GetStatusResponse& status : state.statuses) planes.insert(status.release());
  const bool own = planes == std::set<std::string>{kRelease};
  if (own && releases.size() <= 1) return Good("releases", "one release everywhere");
  std::vector<std::string> shown(releases.begin(), releases.end());
  for (std::string& release : shown) release = Printable(release);
  return Note("releases",
              absl::StrCat("control plane ", Printable(absl::StrJoin(planes, ", ")), ", byrniectl ",
                           kRelease, ", agents ", SomeNames(shown)),
              "fine while an upgrade goes on");
}

}  // namespace

bool ContentsDiffer(const MeshState& state) {
  return SameRegistry(state).outcome != Outcome::kGood;
}

std::vector<CheckResult> CheckMesh(const MeshState& state) {
  std::vector<CheckResult> results = Conditions(state);
  for (CheckResult& result :
       std::vector<CheckResult>{Fleet(state), OwnClock(state), Registry(state), SameRegistry(state),
                                AgentsConnected(state), Certificates(state), Bundles(state),
                                Clocks(state), Services(state), Policies(state), Releases(state)}) {
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace byrnie
