#include "controlplane/explain/explain.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/grpc/error_details.h"
#include "controlplane/explain/party_steps.h"
#include "controlplane/explain/policy_step.h"
#include "controlplane/explain/route_steps.h"

namespace byrnie {
namespace {

using Outcome = ExplainStep::Outcome;

bool Failed(const ExplainStep& step) { return step.outcome == Outcome::kFailed; }

void Append(std::vector<ExplainStep> from, std::vector<ExplainStep>* to) {
  for (ExplainStep& step : from) to->push_back(std::move(step));
}

Party PartyOf(absl::string_view role, const MeshView::Workload& workload) {
  Party party;
  party.role = role;
  party.name = MeshView::NameOf(workload);
  party.workload = workload;
  if (workload.tunnel_protocol() != istio::workload::NONE) {
    party.expected = MeshView::IdentityOf(workload);
  }
  party.addresses = MeshView::AddressesOf(workload);
  return party;
}

void NoteAgent(const MeshView& view, const Party& party, ExplainAnswer* answer) {
  if (answer->agents.size() == ExplainAnswer::kMaxAgents) return;
  std::string connection = ConnectionOf(view, party);
  if (!connection.empty()) answer->agents.insert(std::move(connection));
}

// Who asks, and what is to be said of how it was found.
ExplainStep FindSource(const MeshView& view, const std::string& name, Party* party) {
  ExplainStep step{explain_step::kSource, Outcome::kOk, "", ""};
  const absl::optional<MeshView::Workload> workload = view.FindWorkload(name);
  party->role = "source";
  party->name = name;
  if (workload.has_value()) {
    *party = PartyOf("source", *workload);
    // Of several addresses the one that was asked about is first.
    const absl::StatusOr<IpAddress> asked = IpAddress::Parse(name);
    if (asked.ok()) {
      const auto it = std::find(party->addresses.begin(), party->addresses.end(), *asked);
      if (it != party->addresses.end()) std::iter_swap(party->addresses.begin(), it);
    }
    LookForAgent(view, party);
    step.reason =
        absl::StrCat(name, " is workload ", workload->uid(),
                     party->in_mesh() ? "" : ", which is outside the mesh (protocol NONE)");
    return step;
  }
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(name);
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(name);
  if (ip.ok()) {
    party->addresses.push_back(*ip);
    LookForAgent(view, party);
    step.reason = party->in_mesh()
                      ? absl::StrCat("the registry does not have ", name, ", but the agent of ",
                                     party->proven->text(), " is connected from it")
                      : absl::StrCat("the registry does not have ", name,
                                     ": a client outside the mesh, which comes in plaintext");
  } else if (id.ok()) {
    party->expected = party->proven = *id;
    step.reason =
        absl::StrCat("no workload of the registry is ", name, "; only the identity is looked at");
  } else {
    step.outcome = Outcome::kFailed;
    step.reason = absl::StrCat("the registry has no workload \"", name, "\"");
    step.remedy =
        "give an IP address, namespace/name or SPIFFE ID (byrniectl workloads), or put it "
        "into the registry";
  }
  return step;
}

// The two ends' bundles: who is not in the set is trusted by nobody.
ExplainStep Trust(const MeshView& view, const Party& source, const Party& destination) {
  ExplainStep step{explain_step::kTrust, Outcome::kOk, "", ""};
  for (const Party* party : {&source, &destination}) {
    const std::string domain(party->proven->trust_domain());
    const TrustBundle* const bundle = view.facts().bundles->Find(domain);
    if (bundle == nullptr) {
      step.outcome = Outcome::kFailed;
      step.reason = absl::StrCat("there is no trust bundle of ", domain, ", the trust domain of ",
                                 party->name, ": its certificate is nobody's");
      step.remedy =
          absl::StrCat("start the control plane with --federated_bundle=", domain, "=FILE");
      return step;
    }
    const absl::Time now = view.facts().now;
    const bool ended = std::all_of(bundle->roots.begin(), bundle->roots.end(),
                                   [now](const auto& root) { return root->not_after() <= now; });
    if (ended) {
      step.outcome = Outcome::kFailed;
      step.reason = absl::StrCat("all root certificates of ", domain, " have ended");
      step.remedy = "give the agents new roots";
      return step;
    }
    const bool lists_ended =
        !bundle->crls.empty() &&
        std::all_of(bundle->crls.begin(), bundle->crls.end(),
                    [now](const auto& list) { return list->next_update() <= now; });
    if (lists_ended) {
      step.outcome = Outcome::kFailed;
      step.reason = absl::StrCat("the revocation lists of ", domain,
                                 " have ended, so that nobody vouches for its certificates");
      step.remedy = "publish the next list (--crl)";
      return step;
    }
  }
  step.reason = "the bundles of both trust domains are known";
  return step;
}

// Whether both proxies have the bundles that are in force.
ExplainStep Bundles(const MeshView& view, const Party& source, const Party& destination) {
  ExplainStep step{explain_step::kTrustBundle, Outcome::kOk, "", ""};
  const uint64_t version = view.facts().bundle_version;
  for (const Party* party : {&source, &destination}) {
    for (const AgentTable::Agent& agent : view.AgentsOf(*party->proven)) {
      if (!agent.connected || agent.acknowledged_bundle_version >= version) continue;
      step.outcome = Outcome::kUnknown;
      step.reason = absl::StrCat("the agent of ", party->name, " at ", agent.address,
                                 agent.acknowledged_bundle_version == 0
                                     ? " has not said which trust bundles it has in force"
                                     : " has older trust bundles in force");
      step.remedy = "where it stays so, see its log and /bundles";
      return step;
    }
  }
  step.reason = absl::StrCat("both have version ", version, " of the trust bundles in force");
  return step;
}

// What happens from the moment the source's proxy has chosen `destination`.
std::vector<ExplainStep> EndpointSteps(const MeshView& view, const PolicySet* policies,
                                       const Party& source, const Party& destination,
                                       const SocketAddress& target) {
  std::vector<ExplainStep> steps = {ProtocolStep(source, destination)};
  if (!destination.in_mesh()) return steps;
  Append(PartySteps(view, destination), &steps);
  if (source.in_mesh()) {
    steps.push_back(Trust(view, source, destination));
    if (!Failed(steps.back())) steps.push_back(Bundles(view, source, destination));
  } else {
    steps.push_back(InboundModeStep(target));
  }
  if (destination.proven->trust_domain() == view.facts().trust_domain) {
    steps.push_back(PolicyStep(policies, source, destination, target));
  } else {
    steps.push_back(ExplainStep{
        explain_step::kPolicy, Outcome::kUnknown,
        absl::StrCat("what its proxy decides is for the policies of ",
                     destination.proven->trust_domain(), ", which its own control plane has"),
        "ask that control plane; it lets in whose trust domain a policy names"});
  }
  return steps;
}

// Whether a proxy that meets this failure tries another endpoint, so that connections succeed while
// there is one. What a policy refuses is not tried again.
bool IsTriedElsewhere(const ExplainStep& failed) {
  const absl::string_view name = failed.name;
  return name == explain_step::kDestinationCertificate || name == explain_step::kDestinationAgent ||
         name == explain_step::kDestinationProxy || name == explain_step::kDestinationIdentity ||
         name == explain_step::kDestinationClock;
}

// What is said of endpoints that fail while others do not.
void WarnOfEndpoints(const std::vector<std::string>& failing, size_t all,
                     std::vector<ExplainStep>* steps) {
  for (ExplainStep& step : *steps) {
    if (step.name != explain_step::kEndpointHealth) continue;
    absl::StrAppend(&step.reason, "; but ", failing.size(), " of ", all,
                    failing.size() == 1 ? " fails" : " fail",
                    ", and connections go to the others: ", failing.front());
    step.remedy =
        absl::StrCat("mend what it names; explain with that workload as the destination says more");
  }
}

ExplainStep Pod(const SocketAddress& target) {
  return ExplainStep{
      explain_step::kPod, Outcome::kUnknown,
      absl::StrCat("only the pods know whether their redirect rules are in place, "
                   "packets get through between them, and an application listens "
                   "on ",
                   target.ToString()),
      "byrniectl explain asks the pods' pages where it reaches them, and with --probe "
      "connects; see the access logs of both proxies"};
}

}  // namespace

const ExplainStep* ExplainAnswer::first_failed() const {
  for (const ExplainStep& step : steps) {
    if (Failed(step)) return &step;
  }
  return nullptr;
}

std::string ExplainAnswer::Verdict() const {
  const ExplainStep* const failed = first_failed();
  if (failed != nullptr) return absl::StrCat("it fails at ", failed->name, ": ", failed->reason);
  return "nothing that the control plane knows of is in the way";
}

absl::StatusOr<ExplainAnswer> Explain(const MeshFacts& facts, const ExplainQuestion& question) {
  if (question.source.empty()) return InvalidField("source", "is empty");
  if (question.destination.empty()) return InvalidField("destination", "is empty");
  if (question.port == 0) return InvalidField("port", "give 1 to 65535");
  const MeshView view(&facts);
  ExplainAnswer answer;
  Party source;
  answer.steps.push_back(FindSource(view, question.source, &source));
  if (Failed(answer.steps.back())) return answer;
  if (source.workload.has_value()) answer.source_uid = source.workload->uid();
  if (source.in_mesh()) answer.source_spiffe_id = source.proven->text();
  if (!source.addresses.empty()) answer.source_address = source.addresses.front().ToString();
  if (source.in_mesh()) Append(PartySteps(view, source), &answer.steps);
  NoteAgent(view, source, &answer);

  Route route = FindRoute(view, source, question.destination, question.port);
  Append(std::move(route.steps), &answer.steps);
  if (route.targets.empty()) return answer;

  // The first endpoint that fails; a client may get any of them. Where only some fail in a way that
  // makes proxies try another one, the first of the others.
  struct Endpoint {
    const RouteTarget* target;
    Party party;
    std::vector<ExplainStep> steps;
    const ExplainStep* failed;
  };
  std::vector<Endpoint> endpoints;
  const std::shared_ptr<const PolicySet> policies = PoliciesOf(*facts.registry);
  size_t failing = 0, lasting = 0;
  std::vector<std::string> passed_over;
  for (const RouteTarget& target : route.targets) {
    Party party = PartyOf("destination", target.workload);
    LookForAgent(view, &party);
    NoteAgent(view, party, &answer);
    std::vector<ExplainStep> steps =
        EndpointSteps(view, policies.get(), source, party, target.address);
    const auto failed = std::find_if(steps.begin(), steps.end(), Failed);
    const ExplainStep* const first = failed == steps.end() ? nullptr : &*failed;
    if (first != nullptr) {
      ++failing;
      if (!IsTriedElsewhere(*first)) ++lasting;
      passed_over.push_back(absl::StrCat(party.name, " at ", first->name, ": ", first->reason));
    }
    // A vector that is moved keeps its elements where they are.
    endpoints.push_back({&target, std::move(party), std::move(steps), first});
  }
  const bool warn = failing > 0 && lasting == 0 && failing < endpoints.size();
  const auto found =
      std::find_if(endpoints.begin(), endpoints.end(), [warn, lasting](const Endpoint& endpoint) {
        if (warn) return endpoint.failed == nullptr;
        return endpoint.failed != nullptr && (lasting == 0 || !IsTriedElsewhere(*endpoint.failed));
      });
  Endpoint& shown = found == endpoints.end() ? endpoints.front() : *found;
  std::vector<ExplainStep> chosen = std::move(shown.steps);
  const RouteTarget* const about = shown.target;
  const Party& destination = shown.party;
  if (warn) WarnOfEndpoints(passed_over, endpoints.size(), &answer.steps);
  answer.destination_uid = destination.workload->uid();
  if (destination.in_mesh()) {
    answer.destination_spiffe_id =
        (destination.expected.has_value() ? *destination.expected : *destination.proven).text();
  }
  answer.destination_address = about->address.ToString();
  if (failing > 0 && !warn && route.targets.size() > 1) {
    for (ExplainStep& step : chosen) {
      if (!Failed(step)) continue;
      absl::StrAppend(&step.reason, " (", failing, " of ", route.targets.size(),
                      " endpoints fail; this is ", destination.name, ")");
      break;
    }
  }
  Append(std::move(chosen), &answer.steps);
  answer.steps.push_back(Pod(about->address));
  return answer;
}

}  // namespace byrnie
