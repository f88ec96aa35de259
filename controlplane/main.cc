// byrnie-controlplane: certificate authority, discovery and operator API of a Byrnie mesh.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/descriptor_limit.h"
#include "common/base/unique_fd.h"
#include "common/config/command_line.h"
#include "common/event/epoll_event_loop.h"
#include "common/grpc/library_log.h"
#include "common/telemetry/log.h"
#include "controlplane/control_plane.h"
#include "controlplane/flags.h"
#include "controlplane/server/rotating_credentials.h"

namespace byrnie {
namespace {

constexpr char kName[] = "byrnie-controlplane";

// Blocked before any thread starts, so that every thread inherits it and the loop alone hears of
// them.
UniqueFd TakeTerminationSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return UniqueFd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

void Run(int argc, char** argv) {
  RaiseDescriptorLimit();
  const std::vector<std::string> positional = ParseCommandLineOrExit(
      argc, argv,
      ProgramInfo{kName,
                  "The control plane of a Byrnie mesh: issues certificates, tells agents who "
                  "is where and who may talk to whom, and answers byrniectl."});
  if (!positional.empty()) {
    ExitWithError(kName, absl::InvalidArgumentError(absl::StrCat(
                             "unexpected argument \"", positional.front(), "\"; see --help")));
  }
  absl::StatusOr<ControlPlaneFlags> flags = ReadControlPlaneFlags();
  if (!flags.ok()) ExitWithError(kName, flags.status());

  // No core file and no other process of the same user gets at the CA key.
  ::prctl(PR_SET_DUMPABLE, 0);
  RequireTls13();
  const UniqueFd signals = TakeTerminationSignals();
  SystemClock clock;
  Logger logger(STDERR_FILENO, flags->log_format, flags->log_level);
  RouteGrpcLog(&logger);
  absl::StatusOr<std::unique_ptr<EpollEventLoop>> loop = EpollEventLoop::Create(&clock);
  if (!loop.ok()) ExitWithError(kName, loop.status());

  absl::StatusOr<std::unique_ptr<ControlPlane>> control_plane =
      ControlPlane::Start(flags->options, loop->get(), &clock, &logger);
  if (!control_plane.ok()) ExitWithError(kName, control_plane.status());
  absl::StatusOr<std::unique_ptr<EventLoop::FdWatch>> watch =
      (*loop)->Watch(signals.get(), [&](EventLoop::FdEvents) {
        logger.Info("told to end");
        (*loop)->Stop();
      });
  if (!watch.ok()) ExitWithError(kName, watch.status());

  (*loop)->Run();
  watch->reset();
  control_plane->reset();
  RouteGrpcLog(nullptr);
  logger.Info("ended");
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  byrnie::Run(argc, argv);
  return 0;
}
