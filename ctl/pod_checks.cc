#include "ctl/pod_checks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::ExplainResponse;
using byrnie::operator_::v1::ExplainStep;

constexpr uint16_t kReadinessPort = 15021;
constexpr size_t kMaxPage = 64 * 1024 * 1024;

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

// Whether the proxy of a pod is there and ready.
ExplainStep Readiness(absl::string_view role, const IpAddress& address, const PageGetter& get) {
  const std::string name = absl::StrCat(role, "-proxy");
  const SocketAddress page(address, kReadinessPort);
  const absl::StatusOr<HttpPage> answer = get(page, "/healthz/ready");
  if (absl::IsUnavailable(answer.status())) {
    return Step(
        name, ExplainStep::OUTCOME_FAILED,
        absl::StrCat("nobody answers at ", page.ToString(), " (", answer.status().message(),
                     "): the ", role, "'s proxy does not run, or the pod is gone"),
        "see whether byrnie-proxy runs in the pod; its rules let nothing past it meanwhile");
  }
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
void RefineInboundMode(const SocketAddress& admin, const SocketAddress& target,
                       const PageGetter& get, ExplainStep* step) {
  const absl::StatusOr<HttpPage> dump = get(admin, "/config_dump");
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

// What the source's proxy has recorded of a connection that ended.
ExplainStep FromRecord(const JsonObject& record) {
  const std::string reason = Text(record, "reason"), peer = Text(record, "peer_reason");
  const std::string detail = Text(record, "detail");
  const std::string said =
      absl::StrCat("the source's proxy says ", Text(record, "result"), ", ", reason,
                   peer.empty() ? "" : absl::StrCat("; the destination's says ", peer),
                   detail.empty() ? "" : absl::StrCat(" (", OneLine(detail), ")"));
  if (reason == "closed" || reason == "reset-by-downstream") {
    const std::string route = Text(record, "route");
    if (route == "passthrough") {
      return Step("pod", ExplainStep::OUTCOME_FAILED,
                  absl::StrCat(said, ": it went out as plain TCP, past the mesh"),
                  "put the destination into the registry");
    }
    return Step("pod", ExplainStep::OUTCOME_OK,
                absl::StrCat("a connection was carried and closed: ", said));
  }
  if (peer == "connect-failed") {
    return Step("application", ExplainStep::OUTCOME_FAILED,
                absl::StrCat(said, ": no application listens there"),
                "start the application, or correct the target_port in the registry");
  }
  return Step("pod", ExplainStep::OUTCOME_FAILED, said,
              absl::StrCat("see \"", peer.empty() ? reason : peer, "\" in docs/operations.md"));
}

ExplainStep Probe(const ProbeResult& probe, const absl::optional<SocketAddress>& admin,
                  const PageGetter& get) {
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
  const absl::StatusOr<HttpPage> ended = get(*admin, "/recorder?direction=outbound&limit=1000");
  const absl::StatusOr<HttpPage> open = get(*admin, "/connections?direction=outbound&limit=10000");
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
                "byrnie-redirect check in the source's pod, then byrnie-redirect apply");
  }
  const std::string state = Text(*connection, "state");
  if (state == "open") {
    return Step("pod", ExplainStep::OUTCOME_OK,
                absl::StrCat("a connection was carried to ", Text(*connection, "destination"),
                             ": an application listens"));
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
  answer->set_verdict("nothing that is known of is in the way");
}

}  // namespace

void AddPodChecks(const PodCheckOptions& options, const PageGetter& get, ExplainResponse* answer) {
  const absl::StatusOr<SocketAddress> target = SocketAddress::Parse(answer->destination_address());
  const bool source_in_mesh = !answer->source_spiffe_id().empty();
  const bool destination_in_mesh = !answer->destination_spiffe_id().empty();
  std::vector<ExplainStep> checks;
  const absl::StatusOr<IpAddress> source = IpAddress::Parse(answer->source_address());
  if (source_in_mesh && source.ok()) checks.push_back(Readiness("source", *source, get));
  // From inside a pod the way there is through its proxy, which the probe goes, too.
  if (destination_in_mesh && target.ok() && !options.probe.has_value()) {
    checks.push_back(Readiness("destination", target->ip(), get));
  }
  if (options.probe.has_value()) {
    checks.push_back(Probe(*options.probe, options.source_admin, get));
  }
  std::vector<ExplainStep> steps;
  for (ExplainStep& step : *answer->mutable_steps()) {
    if (step.name() == "inbound-mode" && step.outcome() == ExplainStep::OUTCOME_UNKNOWN &&
        options.destination_admin.has_value() && target.ok()) {
      RefineInboundMode(*options.destination_admin, *target, get, &step);
    }
    if (step.name() == "pod" && options.probe.has_value()) continue;
    if (step.name() == "pod") steps.insert(steps.end(), checks.begin(), checks.end());
    steps.push_back(step);
  }
  if (options.probe.has_value()) steps.insert(steps.end(), checks.begin(), checks.end());
  answer->clear_steps();
  for (ExplainStep& step : steps) *answer->add_steps() = std::move(step);
  UpdateVerdict(answer);
}

}  // namespace byrnie
