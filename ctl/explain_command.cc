// explain: what the control plane says, and what the pods do.

#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/net/socket_address.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/http_get.h"
#include "ctl/listener_uid.h"
#include "ctl/pod_checks.h"
#include "ctl/table.h"
#include "ctl/unacknowledged.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

// The whole answer is to take less than two seconds, whoever hangs: the control plane, which waits
// for agents itself; then the connection that is tried; then the pages of pods.
constexpr absl::Duration kCallTime = absl::Seconds(1);
constexpr absl::Duration kProbeTime = absl::Milliseconds(700);
constexpr absl::Duration kPageTimeout = absl::Milliseconds(300);
constexpr absl::Duration kInAll = absl::Milliseconds(1500);

// An address of an admin port, or none.
absl::StatusOr<absl::optional<SocketAddress>> ReadAddress(absl::string_view flag,
                                                          const std::string& text) {
  if (text.empty()) return absl::optional<SocketAddress>();
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) return InFlag(flag, absl::StrCat("\"", text, "\" is not IP:PORT"));
  return absl::optional<SocketAddress>(*address);
}

// The connection is kept: while it is open, so is what the proxy makes of it.
ProbeResult TryToConnect(const SocketAddress& address, absl::Duration time, UniqueFd* kept) {
  const SystemClock clock;
  const absl::Duration end = clock.MonotonicNow() + time;
  ProbeResult result;
  absl::StatusOr<UniqueFd> connection = ConnectWithin(address, time);
  result.connected = connection.status();
  if (!connection.ok()) return result;
  *kept = *std::move(connection);
  result.local_port = LocalPort(*kept);
  result.ended = EndsWithin(*kept, std::max(end - clock.MonotonicNow(), absl::ZeroDuration()));
  return result;
}

// Why a connection that was tried here would say nothing; empty: it says what an application's
// does.
std::string WhyNotProbe(const SocketAddress& admin) {
  const absl::optional<uid_t> proxy = ListenerUid(admin);
  if (!proxy.has_value() || *proxy != ::geteuid()) return "";
  return absl::StrCat(
      "this runs as uid ", *proxy,
      ", the proxy's own, whose connections go past the mesh; run it as the user of an "
      "application");
}

std::string OutcomeText(v1::ExplainStep::Outcome outcome) {
  switch (outcome) {
    case v1::ExplainStep::OUTCOME_OK:
      return "ok";
    case v1::ExplainStep::OUTCOME_FAILED:
      return "FAILED";
    default:
      return "unknown";
  }
}

std::string ExplanationText(const v1::ExplainResponse& answer) {
  size_t width = 0;
  for (const v1::ExplainStep& step : answer.steps()) width = std::max(width, step.name().size());
  std::string text;
  for (const v1::ExplainStep& step : answer.steps()) {
    std::string outcome = OutcomeText(step.outcome());
    outcome.resize(7, ' ');
    const std::string indent(width - step.name().size() + 2, ' ');
    absl::StrAppend(&text, outcome, "  ", step.name(), indent, Printable(step.reason()), "\n");
    if (!step.remedy().empty()) {
      absl::StrAppend(&text, std::string(width + 11, ' '), "-> ", Printable(step.remedy()), "\n");
    }
  }
  return absl::StrCat(text, "\n", Printable(answer.verdict()), "\n");
}

// What is known before the pod is asked where the control plane has not answered.
v1::ExplainResponse WithoutControlPlane(const absl::Status& why,
                                        const v1::ExplainRequest& request) {
  v1::ExplainResponse answer;
  v1::ExplainStep* const step = answer.add_steps();
  step->set_name("control-plane");
  step->set_outcome(v1::ExplainStep::OUTCOME_UNKNOWN);
  step->set_reason(std::string(why.message()));
  step->set_remedy("ask it from where it is reached; of this pod alone it is said what is wrong");
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(request.destination());
  if (ip.ok()) {
    answer.set_destination_address(
        SocketAddress(*ip, static_cast<uint16_t>(request.port())).ToString());
  }
  return answer;
}

// What all say together. All are asked at the same time, because the whole is to be quick; those
// that have not answered are missing, unless nobody has: then the error is that of the first.
absl::StatusOr<v1::ExplainResponse> AskAll(const std::vector<OperatorClient*>& clients,
                                           const v1::ExplainRequest& request,
                                           std::vector<MissingAnswer>* missing) {
  std::vector<absl::StatusOr<v1::ExplainResponse>> answers(clients.size(),
                                                           absl::UnknownError("not asked"));
  std::vector<std::thread> asking;
  for (size_t i = 0; i < clients.size(); ++i) {
    asking.emplace_back([&clients, &request, &answers, i] {
      answers[i] = clients[i]->Call(&OperatorClient::Stub::Explain, request, kCallTime);
    });
  }
  for (std::thread& thread : asking) thread.join();
  std::vector<v1::ExplainResponse> good;
  for (size_t i = 0; i < clients.size(); ++i) {
    if (answers[i].ok()) {
      good.push_back(*std::move(answers[i]));
    } else {
      missing->push_back({clients[i]->target(), std::string(answers[i].status().message())});
    }
  }
  if (!good.empty()) return MergeExplanations(good);
  missing->clear();
  return answers.front().status();
}

}  // namespace

int RunExplain(const CommandContext& context) {
  v1::ExplainRequest request;
  request.set_source(context.arguments[0]);
  const std::string& destination = context.arguments[1];
  const size_t colon = destination.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(destination.substr(colon + 1), &port) ||
      port == 0 || port > 65535) {
    return BadUsage(
        absl::InvalidArgumentError(absl::StrCat("\"", destination, "\" is not DESTINATION:PORT")));
  }
  std::string name = destination.substr(0, colon);
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') {
    name = name.substr(1, name.size() - 2);
  }
  request.set_destination(name);
  request.set_port(port);
  PodCheckOptions options;
  const bool probe = absl::GetFlag(FLAGS_probe);
  std::string source_admin = absl::GetFlag(FLAGS_source_admin);
  if (source_admin.empty() && probe) source_admin = "127.0.0.1:15000";
  auto source = ReadAddress("source_admin", source_admin);
  if (!source.ok()) return BadUsage(source.status());
  options.source_admin = *source;
  auto other = ReadAddress("destination_admin", absl::GetFlag(FLAGS_destination_admin));
  if (!other.ok()) return BadUsage(other.status());
  options.destination_admin = *other;

  const SystemClock clock;
  const absl::Duration end = clock.MonotonicNow() + kInAll;
  std::vector<MissingAnswer> missing;
  absl::StatusOr<v1::ExplainResponse> answer = AskAll(context.clients, request, &missing);
  const absl::Status unreachable = answer.status();
  if (!answer.ok()) {
    // In a pod whose proxy hangs nobody is reached; then the pod is all there is to ask.
    if (!probe || !OperatorClient::IsUnreachable(unreachable)) return Failed(unreachable);
    answer = WithoutControlPlane(unreachable, request);
  }
  UniqueFd connection;
  if (probe) options.not_probed = WhyNotProbe(*options.source_admin);
  if (probe && options.not_probed.empty()) {
    const absl::StatusOr<IpAddress> ip = IpAddress::Parse(name);
    absl::StatusOr<SocketAddress> target =
        ip.ok() ? SocketAddress(*ip, static_cast<uint16_t>(port))
                : SocketAddress::Parse(answer->destination_address());
    if (target.ok()) {
      const absl::Duration left = end - clock.MonotonicNow() - kPageTimeout;
      options.probe = TryToConnect(
          *target, std::min(std::max(left, absl::Milliseconds(100)), kProbeTime), &connection);
      const absl::StatusOr<SocketAddress> endpoint =
          SocketAddress::Parse(answer->destination_address());
      options.probe->unacknowledged = AnyUnacknowledged((endpoint.ok() ? *endpoint : *target).ip());
    }
  }
  AddPodChecks(
      options,
      [](const SocketAddress& address, absl::string_view path) {
        return HttpGet(address, path, kPageTimeout);
      },
      &*answer);
  if (!unreachable.ok() && answer->first_failed().empty()) return Failed(unreachable);
  Print(context.json ? MessageJson(*answer) : ExplanationText(*answer));
  return Finish(answer->first_failed().empty() ? kDone : kProblem, missing);
}

}  // namespace byrnie
