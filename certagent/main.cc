// byrnie-certagent: keeps a pod's workload certificate fresh and its private key to itself.
#include <malloc.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "certagent/agent.h"
#include "certagent/flags.h"
#include "certagent/process_hardening.h"
#include "certagent/socket_permissions.h"
#include "certagent/token_permissions.h"
#include "common/base/clock.h"
#include "common/base/secret_memory.h"
#include "common/base/version.h"
#include "common/config/command_line.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/server_signals.h"
#include "common/grpc/library_log.h"
#include "common/telemetry/log.h"

namespace {

constexpr byrnie::ProgramInfo kProgram = {
    "byrnie-certagent",
    "Keeps a pod's workload certificate fresh, signs with its key for the proxy beside it, and "
    "tells the proxy what the control plane knows of addresses and policies. SIGTERM ends it; "
    "SIGHUP "
    "changes nothing, files are read again by themselves."};

}  // namespace

int main(int argc, char** argv) {
  // One heap for gRPC's dozen threads: one each costs megabytes, and nothing here is in a hurry.
  mallopt(M_ARENA_MAX, 1);
  const std::vector<std::string> arguments = byrnie::ParseCommandLineOrExit(argc, argv, kProgram);
  if (!arguments.empty()) {
    byrnie::ExitWithError(kProgram.name, absl::InvalidArgumentError(absl::StrCat(
                                             "unexpected argument \"", arguments[0],
                                             "\"; byrnie-certagent takes flags only, see --help")));
  }
  absl::Status hardened = byrnie::ProtectProcessMemory();
  if (!hardened.ok()) byrnie::ExitWithError(kProgram.name, hardened);
  const byrnie::SystemClock clock;
  absl::StatusOr<byrnie::AgentConfig> config = byrnie::AgentConfigFromFlags(clock.WallNow());
  if (!config.ok()) byrnie::ExitWithError(kProgram.name, config.status());

  byrnie::Logger log(STDERR_FILENO, config->log_format, config->log_level);
  byrnie::RouteGrpcLog(&log);
  absl::StatusOr<std::unique_ptr<byrnie::EpollEventLoop>> loop =
      byrnie::EpollEventLoop::Create(&clock);
  if (!loop.ok()) byrnie::ExitWithError(kProgram.name, loop.status());
  byrnie::ServerSignals::Handlers handlers;
  handlers.on_end = [&loop] { (*loop)->Stop(); };
  handlers.on_hangup = [&log] {
    log.Warning(
        "SIGHUP changes nothing: the token and the trust bundle are read again by "
        "themselves; SIGTERM ends");
  };
  const absl::StatusOr<std::unique_ptr<byrnie::ServerSignals>> signals =
      byrnie::ServerSignals::Create(loop->get(), std::move(handlers));
  if (!signals.ok()) byrnie::ExitWithError(kProgram.name, signals.status());
  absl::StatusOr<std::unique_ptr<byrnie::Agent>> agent =
      byrnie::Agent::Create(loop->get(), &clock, *config, &log);
  if (!agent.ok()) byrnie::ExitWithError(kProgram.name, agent.status());
  // Not before the configuration has proven good: what is wrong with that is one line alone.
  const std::string token_warning = byrnie::TokenFileWarning(config->token_path);
  if (!token_warning.empty()) {
    log.Warning("the token file is open to others", {{"detail", token_warning}});
  }
  const std::string socket_warning = byrnie::SocketDirectoryWarning(config->link_socket);
  if (!socket_warning.empty()) {
    log.Warning("the directory of the link socket is open to others", {{"detail", socket_warning}});
  }

  const byrnie::SecretMemoryKind key_memory = byrnie::SecretMemoryInUse();
  log.Info("agent started", {{"release", byrnie::kRelease},
                             {"control_plane", absl::StrJoin(config->control_planes, ",")},
                             {"link_socket", config->link_socket},
                             {"key_memory", byrnie::SecretMemoryKindName(key_memory)}});
  if (key_memory == byrnie::SecretMemoryKind::kOrdinary) {
    log.Warning("keys are in memory that may be swapped out: RLIMIT_MEMLOCK is under 64 KiB");
  }
  (*agent)->Start();
  (*loop)->Run();
  agent->reset();
  byrnie::RouteGrpcLog(nullptr);
  log.Info("agent stopped");
  // Not through exit: gRPC's threads outlive main, in connections that are still being made, and
  // would use what it and the libraries destroy.
  _exit(0);
}
