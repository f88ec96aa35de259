#include "ctl/pod_checks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <thread>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::ExplainResponse;
using byrnie::operator_::v1::ExplainStep;

constexpr uint16_t kReadinessPort = 15021;
constexpr size_t kMaxPage = 64 * 1024 * 1024;
constexpr char kReady[] = "/healthz/ready";
constexpr char kConfig[] = "/config_dump";

ExplainStep Step(absl::string_view name, ExplainStep::Outcome outcome, absl::string_view reason,
                 absl::string_view remedy = "") {
  ExplainStep step;
  step.set_name(std::string(name));
  step.set_outcome(outcome);
  step.set_reason(std::string(reason));
  step.set_remedy(std::string(remedy));
  return step;
}

std::string OneLine(absl::string_view text) {
  std::string line(absl::StripAsciiWhitespace(text.substr(0, 300)));
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

// Pages, asked for at the same time: one that hangs holds up nobody else.
class Pages {
 public:
  explicit Pages(const PageGetter* get) : get_(*get) {}

  void Want(const SocketAddress& address, const std::string& path) {
    pages_.try_emplace({address.ToString(), path}, address);
  }
  void Fetch() {
    std::vector<std::thread> threads;
    for (auto& [key, page] : pages_) {
      threads.emplace_back(
          [this, path = &key.second, page = &page] { page->answer = get_(page->address, *path); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  // Of a page that was wanted.
  const absl::StatusOr<HttpPage>& Get(const SocketAddress& address, const std::string& path) const {
    return pages_.at({address.ToString(), path}).answer;
  }

 private:
  struct Page {
    explicit Page(const SocketAddress& address) : address(address) {}
    SocketAddress address;
    absl::StatusOr<HttpPage> answer = absl::UnknownError("not asked");
  };
  const PageGetter& get_;
  std::map<std::pair<std::string, std::string>, Page> pages_;
};

ExplainStep Hangs(absl::string_view role, const SocketAddress& page) {
  return Step(absl::StrCat(role, "-proxy"), ExplainStep::OUTCOME_FAILED,
              absl::StrCat(page.ToString(), " takes connections and answers nothing: the ", role,
                           "'s proxy hangs"),
              "see whether byrnie-proxy is stopped or gets no CPU in the pod; restart it where it "
              "stays so");
}

// Whether the proxy of a pod is there and ready.
ExplainStep Readiness(absl::string_view role, const SocketAddress& page,
                      const absl::StatusOr<HttpPage>& answer) {
  const std::string name = absl::StrCat(role, "-proxy");
  if (WasRefused(answer.status())) {
    return Step(
        name, ExplainStep::OUTCOME_FAILED,
        absl::StrCat("nobody answers at ", page.ToString(), " (", answer.status().message(),
                     "): the ", role, "'s proxy does not run, or the pod is gone"),
        "see whether byrnie-proxy runs in the pod; its rules let nothing past it meanwhile");
  }
  if (WasTaken(answer.status())) return Hangs(role, page);
  if (!answer.ok()) {
    return Step(
        name, ExplainStep::OUTCOME_UNKNOWN,
        absl::StrCat(page.ToString(), " is not reached from here: ", answer.status().message()),
        absl::StrCat("curl ", page.ToString(), "/healthz/ready from a node or pod"));
  }
  if (answer->status == 200) {
    return Step(name, ExplainStep::OUTCOME_OK,
                absl::StrCat("its proxy at ", page.ToString(), " is ready"));
  }
  return Step(
      name, ExplainStep::OUTCOME_FAILED,
      absl::StrCat("its proxy at ", page.ToString(), " is not ready: ", OneLine(answer->body)),
      "what it waits for is what is missing; see its log and its agent's");
}

absl::StatusOr<std::string> FlagOf(const HttpPage& dump, absl::string_view name) {
  ASSIGN_OR_RETURN(JsonValue value, JsonValue::Parse(dump.body, kMaxPage));
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(JsonObject flags, object.GetObject("flags"));
  return flags.GetString(name);
}

// Whether the destination's proxy takes plaintext at a port.
void RefineInboundMode(const SocketAddress& target, const absl::StatusOr<HttpPage>& dump,
                       ExplainStep* step) {
  if (!dump.ok()) return;
  const absl::StatusOr<std::string> mode = FlagOf(*dump, "mtls_mode");
  const absl::StatusOr<std::string> ports = FlagOf(*dump, "mtls_port_modes");
  if (!mode.ok() || !ports.ok()) return;
  std::string at_port = *mode;
  for (absl::string_view part : absl::StrSplit(*ports, ',', absl::SkipEmpty())) {
    if (absl::StartsWith(part, absl::StrCat(target.port(), "="))) {
      at_port = std::string(part.substr(part.find('=') + 1));
    }
  }
  const bool permissive = at_port == "permissive";
  step->set_outcome(permissive ? ExplainStep::OUTCOME_OK : ExplainStep::OUTCOME_FAILED);
  step->set_reason(absl::StrCat("the destination's proxy is ", at_port, " at port ", target.port(),
                                permissive ? ": it takes plaintext" : ": it refuses plaintext"));
  if (permissive) step->clear_remedy();
}

// The newest entry of a page's "connections" that is of a local port.
absl::optional<JsonObject> FindConnection(const HttpPage& page, uint16_t local_port) {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(page.body, kMaxPage);
  if (!value.ok()) return absl::nullopt;
  const absl::StatusOr<JsonObject> object = value->AsObject();
  if (!object.ok()) return absl::nullopt;
  const absl::StatusOr<std::vector<JsonValue>> connections = object->GetArrayOrEmpty("connections");
  if (!connections.ok()) return absl::nullopt;
  for (const JsonValue& entry : *connections) {
    const absl::StatusOr<JsonObject> connection = entry.AsObject();
    if (!connection.ok()) continue;
    const std::string source = connection->GetStringOr("source", "").value_or("");
    if (absl::EndsWith(source, absl::StrCat(":", local_port))) return *connection;
  }
  return absl::nullopt;
}

std::string Text(const JsonObject& object, absl::string_view name) {
  return object.GetStringOr(name, "").value_or("");
}

// Where a connection ends for what a proxy says of it: the step, and what to do about it; an empty
// remedy: what docs/operations.md says of the reason.
struct Place {
  absl::string_view reason;
  const char* step;
  const char* remedy = "";
};

// What the destination's proxy answers.
constexpr Place kPlacesOfPeer[] = {
    {"connect-failed", "application",
     "start the application, or correct the target_port in the registry"},
    {"connect-timeout", "application", "see whether the application takes connections"},
    {"policy-deny", "policy"},
    {"no-allow-match", "policy"},
    {"policy-missing", "policy"},
    {"no-policy-snapshot", "policy"},
    {"foreign-trust-domain", "policy"},
    {"no-identity", "destination-certificate"},
    // Of whom it judges: the source.
    {"certificate-revoked", "source-certificate"},
    {"revocation-unknown", "trust"},
};

// What the source's own says.
constexpr Place kPlaces[] = {
    {"peer-silent", "destination-proxy"},
    {"handshake-timeout", "destination-proxy"},
    {"connect-timeout", "network",
     "look at network policies and firewalls between the pods: TCP port 15008 must pass"},
    {"peer-identity-mismatch", "destination-identity"},
    {"certificate-revoked", "destination-certificate"},
    {"revocation-unknown", "trust"},
    {"no-identity", "source-certificate"},
    {"unknown-address", "destination"},
    {"resolve-timeout", "source-agent"},
    {"resolve-unavailable", "source-agent"},
    {"unknown-service-port", "service-port"},
    {"no-endpoint", "endpoint"},
    {"no-healthy-endpoint", "endpoint-health"},
    {"reset-by-upstream", "application",
     "the way there is open: see why the application ends what it has accepted; its log says it"},
};

// Whether a part is in the text, whichever letters are capitals.
bool ContainsAny(absl::string_view text, std::initializer_list<absl::string_view> parts) {
  const std::string lower = absl::AsciiStrToLower(text);
  return absl::c_any_of(
      parts, [&lower](absl::string_view part) { return absl::StrContains(lower, part); });
}

// A handshake that failed: for want of trust or for a certificate's time, of whichever end.
Place PlaceOfTls(absl::string_view detail) {
  constexpr char kTimes[] = "compare the clocks of both pods, and see why it is not renewed";
  // An alert is the other end's word about this one's certificate.
  const char* const judged = ContainsAny(detail, {"alert", "refused our certificate"})
                                 ? "source-certificate"
                                 : "destination-certificate";
  if (ContainsAny(detail, {"trust bundle", "not signed by a root", "unknown certificate authority",
                           "unknown_ca", "unknown ca"})) {
    return {
        "", "trust",
        "one end does not have the other's roots: compare /bundles of both agents; the bundle of "
        "another trust domain comes by --federated_bundle, at both control planes"};
  }
  if (ContainsAny(detail, {"expired", "not yet valid", "is valid in"})) return {"", judged, kTimes};
  if (ContainsAny(detail, {"revoked"})) return {"", judged};
  return {"", "pod"};
}

Place PlaceOf(absl::string_view reason, absl::string_view peer, absl::string_view detail) {
  for (const Place& place : kPlacesOfPeer) {
    if (place.reason == peer) return place;
  }
  if (!peer.empty()) return {"", "pod"};
  if (reason == "tls-failed" || reason == "refused-by-peer") return PlaceOfTls(detail);
  if (reason == "connect-failed") {
    // Somebody has said no: a machine that is there, where nobody listens.
    if (ContainsAny(detail, {"refused"})) {
      return {
          "", "destination-proxy",
          "see whether byrnie-proxy runs in the destination's pod; its rules let nothing past it "
          "meanwhile"};
    }
    return {"", "network", "look at the network between the pods: TCP port 15008 must pass"};
  }
  for (const Place& place : kPlaces) {
    if (place.reason == reason) return place;
  }
  return {"", "pod"};
}

// What the source's proxy has recorded of a connection that ended.
ExplainStep FromRecord(const JsonObject& record) {
  const std::string reason = Text(record, "reason"), peer = Text(record, "peer_reason");
  const std::string detail = Text(record, "detail");
  const std::string said =
      absl::StrCat("the source's proxy says ", Text(record, "result"), ", ", reason,
                   peer.empty() ? "" : absl::StrCat("; the destination's says ", peer),
                   detail.empty() ? "" : absl::StrCat(" (", OneLine(detail), ")"));
  const bool passed = Text(record, "route") == "passthrough";
  if (reason == "closed" || reason == "reset-by-downstream") {
    if (passed) {
      return Step("pod", ExplainStep::OUTCOME_FAILED,
                  absl::StrCat(said, ": it went out as plain TCP, past the mesh"),
                  "put the destination into the registry");
    }
    return Step("pod", ExplainStep::OUTCOME_OK,
                absl::StrCat("a connection was carried and closed: ", said));
  }
  const Place place = PlaceOf(reason, peer, detail);
  const std::string name = passed && reason == "connect-failed" ? "application" : place.step;
  return Step(
      name, ExplainStep::OUTCOME_FAILED,
      absl::StrCat(said, name != "application"           ? ""
                         : reason == "reset-by-upstream" ? ": the application resets it"
                                                         : ": no application listens there"),
      *place.remedy != '\0'
          ? place.remedy
          : absl::StrCat("see \"", peer.empty() ? reason : peer, "\" in docs/operations.md"));
}

// The pages that a probe is looked up in.
constexpr char kEnded[] = "/recorder?direction=outbound&limit=1000";
constexpr char kOpen[] = "/connections?direction=outbound&limit=10000";

// The host of "10.0.0.2:8080"; absent: it is none.
absl::optional<IpAddress> HostOf(const JsonObject& object, absl::string_view name) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(Text(object, name));
  if (!address.ok()) return absl::nullopt;
  return address->ip();
}

// Whether the worker of a connection has a tunnel to its destination that takes connections.
bool HasOpenTunnel(const HttpPage& page, const JsonObject& connection) {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(page.body, kMaxPage);
  if (!value.ok()) return false;
  const absl::StatusOr<JsonObject> object = value->AsObject();
  if (!object.ok()) return false;
  const absl::StatusOr<std::vector<JsonValue>> tunnels = object->GetArrayOrEmpty("tunnels");
  if (!tunnels.ok()) return false;
  const auto worker = [](const JsonObject& of) { return of.GetIntOr("worker", 0, 1 << 20, -1); };
  const absl::optional<IpAddress> destination = HostOf(connection, "destination");
  return destination.has_value() && absl::c_any_of(*tunnels, [&](const JsonValue& entry) {
           const absl::StatusOr<JsonObject> tunnel = entry.AsObject();
           if (!tunnel.ok() || Text(*tunnel, "direction") != "outbound") return false;
           const std::string state = Text(*tunnel, "state");
           return (state == "open" || state == "bulk") &&
                  worker(*tunnel).value_or(-1) == worker(connection).value_or(-1) &&
                  HostOf(*tunnel, "address") == destination;
         });
}

ExplainStep Probe(const ProbeResult& probe, const absl::optional<SocketAddress>& admin,
                  const Pages& pages) {
  if (!probe.connected.ok()) {
    return Step("redirect", ExplainStep::OUTCOME_FAILED,
                absl::StrCat("the connection did not reach the source's proxy: ",
                             probe.connected.message()),
                "byrnie-redirect check in the pod; see whether byrnie-proxy runs");
  }
  if (!admin.has_value()) {
    return Step("pod", ExplainStep::OUTCOME_UNKNOWN, "the source's admin port was not given",
                "give --source_admin");
  }
  const absl::StatusOr<HttpPage>& ended = pages.Get(*admin, kEnded);
  const absl::StatusOr<HttpPage>& open = pages.Get(*admin, kOpen);
  if (WasTaken(ended.status()) || WasTaken(open.status())) return Hangs("source", *admin);
  if (!ended.ok() || !open.ok()) {
    return Step("pod", ExplainStep::OUTCOME_UNKNOWN,
                absl::StrCat("the source's admin port is not reached: ",
                             (ended.ok() ? open : ended).status().message()),
                "run it in the source's pod, or give --source_admin");
  }
  const absl::optional<JsonObject> record = FindConnection(*ended, probe.local_port);
  if (record.has_value()) return FromRecord(*record);
  const absl::optional<JsonObject> connection = FindConnection(*open, probe.local_port);
  if (!connection.has_value()) {
    return Step("redirect", ExplainStep::OUTCOME_FAILED,
                absl::StrCat("the source's proxy knows nothing of a connection from port ",
                             probe.local_port, ": it went past it"),
                "byrnie-redirect check in the source's pod, then byrnie-redirect apply; a user or "
                "group that --exclude_uids or --exclude_gids names is outside the mesh");
  }
  const std::string state = Text(*connection, "state");
  if (state == "open") {
    return Step("pod", ExplainStep::OUTCOME_OK,
                absl::StrCat("a connection was carried to ", Text(*connection, "destination"),
                             ": an application listens"));
  }
  if (!probe.unacknowledged && HasOpenTunnel(*open, *connection)) {
    return Step("application", ExplainStep::OUTCOME_FAILED,
                "the tunnel to the destination's proxy is open, which has acknowledged the request "
                "and waits: the application takes no connection, or packets to it are dropped "
                "inside its pod",
                "see whether the application accepts (ss -ltn in its pod: a full Recv-Q of its "
                "listener), and the pod's own packet filters; where neither is so its proxy hangs");
  }
  return Step("network", ExplainStep::OUTCOME_FAILED,
              absl::StrCat("the source's proxy still waits for the destination (", state,
                           "): packets between the pods are dropped, or its proxy hangs"),
              "look at network policies and firewalls between the pods: TCP port 15008 must pass");
}

void UpdateVerdict(ExplainResponse* answer) {
  for (const ExplainStep& step : answer->steps()) {
    if (step.outcome() != ExplainStep::OUTCOME_FAILED) continue;
    answer->set_first_failed(step.name());
    answer->set_verdict(absl::StrCat("it fails at ", step.name(), ": ", step.reason()));
    return;
  }
  answer->clear_first_failed();
  std::vector<std::string> unknown, warned;
  for (const ExplainStep& step : answer->steps()) {
    if (step.outcome() != ExplainStep::OUTCOME_OK) {
      unknown.push_back(step.name());
    } else if (!step.remedy().empty()) {
      warned.push_back(step.name());
    }
  }
  answer->set_verdict(absl::StrCat(
      "nothing that is known of is in the way",
      warned.empty() ? "" : absl::StrCat("; to be looked at: ", absl::StrJoin(warned, ", ")),
      unknown.empty() ? "" : absl::StrCat("; not known: ", absl::StrJoin(unknown, ", "))));
}

// What is to be made of a proxy whose agent has just said that it answers, where its page is
// refused: whoever refuses may be a firewall, or another machine that has the address here.
ExplainStep RefusedHere(const ExplainStep& known, const SocketAddress& page) {
  return Step(known.name(), ExplainStep::OUTCOME_OK,
              absl::StrCat(known.reason(), ", though connections from here to ", page.ToString(),
                           " are refused"),
              absl::StrCat("where the pod is reached, curl ", page.ToString(),
                           "/healthz/ready: something on the way from here may be what refuses"));
}

// In the place of what was known of it before, or at the end.
void Put(ExplainStep step, std::vector<ExplainStep>* steps) {
  for (ExplainStep& known : *steps) {
    if (known.name() != step.name()) continue;
    const bool better = step.outcome() != ExplainStep::OUTCOME_UNKNOWN &&
                        known.outcome() != ExplainStep::OUTCOME_FAILED;
    if (better) known = std::move(step);
    return;
  }
  steps->push_back(std::move(step));
}

// What the page of a proxy's readiness says, beside what its agent does.
void PutReadiness(absl::string_view role, const SocketAddress& page,
                  const absl::StatusOr<HttpPage>& answer, std::vector<ExplainStep>* steps) {
  ExplainStep step = Readiness(role, page, answer);
  if (WasRefused(answer.status())) {
    for (ExplainStep& known : *steps) {
      if (known.name() != step.name() || known.outcome() != ExplainStep::OUTCOME_OK) continue;
      known = RefusedHere(known, page);
      return;
    }
  }
  Put(std::move(step), steps);
}

}  // namespace

void AddPodChecks(const PodCheckOptions& options, const PageGetter& get, ExplainResponse* answer) {
  const absl::StatusOr<SocketAddress> target = SocketAddress::Parse(answer->destination_address());
  const absl::StatusOr<IpAddress> source_ip = IpAddress::Parse(answer->source_address());
  absl::optional<SocketAddress> source, destination;
  if (!answer->source_spiffe_id().empty() && source_ip.ok()) {
    source.emplace(*source_ip, kReadinessPort);
  }
  // From inside a pod the way there is through its proxy, which the probe goes, too.
  if (!answer->destination_spiffe_id().empty() && target.ok() && !options.probe.has_value()) {
    destination.emplace(target->ip(), kReadinessPort);
  }
  Pages pages(&get);
  for (const auto& page : {source, destination}) {
    if (page.has_value()) pages.Want(*page, kReady);
  }
  if (options.destination_admin.has_value()) pages.Want(*options.destination_admin, kConfig);
  if (options.probe.has_value() && options.source_admin.has_value()) {
    pages.Want(*options.source_admin, kEnded);
    pages.Want(*options.source_admin, kOpen);
  }
  pages.Fetch();

  std::vector<ExplainStep> steps;
  absl::optional<ExplainStep> pod;
  for (ExplainStep& step : *answer->mutable_steps()) {
    if (step.name() == "inbound-mode" && step.outcome() == ExplainStep::OUTCOME_UNKNOWN &&
        options.destination_admin.has_value() && target.ok()) {
      RefineInboundMode(*target, pages.Get(*options.destination_admin, kConfig), &step);
    }
    if (step.name() == "pod") {
      pod = std::move(step);
    } else {
      steps.push_back(std::move(step));
    }
  }
  if (source.has_value()) PutReadiness("source", *source, pages.Get(*source, kReady), &steps);
  if (destination.has_value()) {
    PutReadiness("destination", *destination, pages.Get(*destination, kReady), &steps);
  }
  if (options.probe.has_value()) {
    Put(Probe(*options.probe, options.source_admin, pages), &steps);
  } else if (pod.has_value()) {
    if (!options.not_probed.empty()) {
      pod->set_reason(absl::StrCat("no connection was tried: ", options.not_probed));
    }
    steps.push_back(*std::move(pod));
  }
  answer->clear_steps();
  for (ExplainStep& step : steps) *answer->add_steps() = std::move(step);
  UpdateVerdict(answer);
}

}  // namespace byrnie
