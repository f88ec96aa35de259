// byrnie-controlplane: certificate authority, discovery and operator API of a Byrnie mesh.

#include <sys/prctl.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/descriptor_limit.h"
#include "common/base/end_deadline.h"
#include "common/config/command_line.h"
#include "common/event/epoll_event_loop.h"
#include "common/event/server_signals.h"
#include "common/grpc/library_log.h"
#include "common/telemetry/log.h"
#include "controlplane/control_plane.h"
#include "controlplane/flags.h"
#include "controlplane/server/rotating_credentials.h"

namespace byrnie {
namespace {

constexpr char kName[] = "byrnie-controlplane";
// The kubelet waits for 30 s, and then tells nobody why.
constexpr absl::Duration kLongestEnd = absl::Seconds(25);

void Run(int argc, char** argv) {
  RaiseDescriptorLimit();
  const std::vector<std::string> positional = ParseCommandLineOrExit(
      argc, argv,
      ProgramInfo{kName,
                  "The control plane of a Byrnie mesh: issues certificates, tells agents who "
                  "is where and who may talk to whom, and answers byrniectl. SIGTERM ends it; "
                  "SIGHUP changes nothing, the registry is read again by itself."});
  if (!positional.empty()) {
    ExitWithError(kName, absl::InvalidArgumentError(absl::StrCat(
                             "unexpected argument \"", positional.front(), "\"; see --help")));
  }
  absl::StatusOr<ControlPlaneFlags> flags = ReadControlPlaneFlags();
  if (!flags.ok()) ExitWithError(kName, flags.status());

  // No core file and no other process of the same user gets at the CA key.
  ::prctl(PR_SET_DUMPABLE, 0);
  RequireTls13();
  SystemClock clock;
  Logger logger(STDERR_FILENO, flags->log_format, flags->log_level);
  RouteGrpcLog(&logger);
  absl::StatusOr<std::unique_ptr<EpollEventLoop>> loop = EpollEventLoop::Create(&clock);
  if (!loop.ok()) ExitWithError(kName, loop.status());

  // Before any thread starts, so that every thread inherits it.
  ServerSignals::Handlers handlers;
  handlers.on_end = [&] {
    logger.Info("told to end");
    (*loop)->Stop();
  };
  handlers.on_hangup = [&logger] {
    logger.Warning("SIGHUP changes nothing: the registry is read again by itself; SIGTERM ends");
  };
  const absl::StatusOr<std::unique_ptr<ServerSignals>> signals =
      ServerSignals::Create(loop->get(), std::move(handlers));
  if (!signals.ok()) ExitWithError(kName, signals.status());
  absl::StatusOr<std::unique_ptr<ControlPlane>> control_plane =
      ControlPlane::Start(flags->options, loop->get(), &clock, &logger);
  if (!control_plane.ok()) ExitWithError(kName, control_plane.status());

  (*loop)->Run();
  {
    const EndDeadline deadline(kLongestEnd, [&logger] {
      logger.Error("one of its threads does not end: the process ends all the same");
      ::_exit(1);
    });
    control_plane->reset();
  }
  RouteGrpcLog(nullptr);
  logger.Info("ended");
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  byrnie::Run(argc, argv);
  return 0;
}
