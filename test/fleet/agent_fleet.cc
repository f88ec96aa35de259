// Many agents in one process: each with a key, certificates and connections of its own, over real
// gRPC. Random pairs of them shake hands all the time, as far as a handshake asks whether each
// end's certificate is good by what the other one trusts.
//
//   agent_fleet --control_plane=HOST:PORT --trust_bundle=FILE --tokens=DIR
//
// Agent N is spiffe://TRUST_DOMAIN/ns/ci/sa/agent-N and proves it with the token of the file
// DIR/N. Prints a line of JSON about twice a second: how many agents have a certificate, how many
// handshakes there were and how many of them failed (the reason of the first is logged), and how
// many connections to the control plane were lost. SIGHUP has agent 0 acknowledge no more trust
// bundles, and the next one has it make up for it; SIGTERM ends it.

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/descriptor_limit.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/config/command_line.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/server_signals.h"
#include "common/grpc/library_log.h"
#include "common/telemetry/log.h"
#include "test/fleet/fleet_agent.h"

ABSL_FLAG(std::string, control_plane, "", "HOST:PORT");
ABSL_FLAG(std::string, trust_domain, "cluster.local", "the trust domain");
ABSL_FLAG(std::string, trust_bundle, "", "file of the control plane's roots (PEM), read once");
ABSL_FLAG(std::string, tokens, "", "directory of the agents' tokens");
ABSL_FLAG(int, agents, 1000, "how many");
ABSL_FLAG(int, handshakes, 200, "how many a second");

namespace byrnie {
namespace {

constexpr char kName[] = "agent_fleet";
constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr int kTicksPerSecond = 20;
constexpr int kTicksPerLine = 10;
// Agents that wait for their first certificate: with more, handshakes take longer than is allowed.
constexpr int kStartingAtOnce = 24;
constexpr size_t kMaxFile = 1 << 20;

class Fleet {
 public:
  Fleet(EpollEventLoop* loop, Logger* log, ControlPlaneChannelOptions server,
        TrustBundleSet bundles)
      : loop_(loop),
        log_(log),
        server_(std::move(server)),
        bundles_(std::move(bundles)),
        tick_(loop->NewTimer([this] { Tick(); })) {
    tick_->Schedule(absl::ZeroDuration());
  }

  void ToggleMute() {
    mute_ = !mute_;
    if (!agents_.empty()) agents_.front()->SetMute(mute_);
  }

 private:
  void Tick() {
    tick_->Schedule(kTick);
    const size_t wanted = static_cast<size_t>(absl::GetFlag(FLAGS_agents));
    int starting = static_cast<int>(agents_.size()) - Ready();
    while (starting < kStartingAtOnce && agents_.size() < wanted) {
      const absl::Status started = StartOne();
      if (!started.ok()) {
        log_->Error("cannot start an agent", {{"error", started.message()}});
        return loop_->Stop();
      }
      ++starting;
    }
    for (int i = 0; i < absl::GetFlag(FLAGS_handshakes) / kTicksPerSecond; ++i) Handshake();
    if (++ticks_ % kTicksPerLine == 0) Say();
  }

  absl::Status StartOne() {
    const std::string number = absl::StrCat(agents_.size());
    ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(absl::StrCat("spiffe://", server_.trust_domain,
                                                               "/ns/ci/sa/agent-", number)));
    FleetAgent::Options options{
        server_, bundles_, absl::StrCat(absl::GetFlag(FLAGS_tokens), "/", number), std::move(id)};
    agents_.push_back(std::make_unique<FleetAgent>(loop_, std::move(options), log_));
    return absl::OkStatus();
  }

  void Handshake() {
    if (agents_.empty()) return;
    const FleetAgent& client = *agents_[absl::Uniform<size_t>(random_, 0, agents_.size())];
    const FleetAgent& server = *agents_[absl::Uniform<size_t>(random_, 0, agents_.size())];
    if (!client.ready() || !server.ready()) return;
    ++handshakes_;
    absl::Status good = client.IsGoodFor(server);
    good.Update(server.IsGoodFor(client));
    if (good.ok()) return;
    if (failed_++ == 0) log_->Error("a handshake failed", {{"reason", good.message()}});
  }

  int Ready() const {
    int ready = 0;
    for (const auto& agent : agents_) ready += agent->ready() ? 1 : 0;
    return ready;
  }

  void Say() const {
    int lost = 0;
    for (const auto& agent : agents_) lost += agent->lost();
    std::printf("{\"ready\":%d,\"handshakes\":%lld,\"failed\":%lld,\"lost\":%d}\n", Ready(),
                handshakes_, failed_, lost);
    std::fflush(stdout);
  }

  EpollEventLoop* const loop_;  // Not owned.
  Logger* const log_;           // Not owned.
  const ControlPlaneChannelOptions server_;
  const TrustBundleSet bundles_;
  absl::BitGen random_;
  std::vector<std::unique_ptr<FleetAgent>> agents_;
  bool mute_ = false;
  int ticks_ = 0;
  long long handshakes_ = 0, failed_ = 0;
  const std::unique_ptr<EventLoop::Timer> tick_;
};

absl::Status Run() {
  ControlPlaneChannelOptions server;
  server.target = absl::GetFlag(FLAGS_control_plane);
  server.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  ASSIGN_OR_RETURN(server.trust_bundle_pem, ReadFile(absl::GetFlag(FLAGS_trust_bundle), kMaxFile));
  ASSIGN_OR_RETURN(TrustBundleSet bundles,
                   TrustBundleSet::FromPem(server.trust_domain, server.trust_bundle_pem));
  SystemClock clock;
  Logger log(STDERR_FILENO, Logger::Format::kJson, LogLevel::kWarning);
  RouteGrpcLog(&log);
  ASSIGN_OR_RETURN(std::unique_ptr<EpollEventLoop> loop, EpollEventLoop::Create(&clock));
  Fleet* fleet = nullptr;
  ServerSignals::Handlers handlers;
  handlers.on_end = [&loop] { loop->Stop(); };
  handlers.on_hangup = [&fleet] { fleet->ToggleMute(); };
  ASSIGN_OR_RETURN(const std::unique_ptr<ServerSignals> signals,
                   ServerSignals::Create(loop.get(), std::move(handlers)));
  fleet = new Fleet(loop.get(), &log, std::move(server), std::move(bundles));
  loop->Run();
  // A thousand connections take their time to be closed, and nobody waits for it.
  std::fflush(stdout);
  ::_exit(0);
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  byrnie::RaiseDescriptorLimit();
  byrnie::ParseCommandLineOrExit(
      argc, argv, {byrnie::kName, "Many agents in one process, for tests of the control plane."});
  const absl::Status ended = byrnie::Run();
  byrnie::ExitWithError(byrnie::kName, ended);
}
