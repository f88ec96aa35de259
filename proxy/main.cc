// The sidecar proxy: carries a pod's TCP connections over mutual TLS.
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/descriptor_limit.h"
#include "common/config/command_line.h"
#include "common/telemetry/log.h"
#include "proxy/flags.h"
#include "proxy/proxy.h"

namespace {

constexpr char kName[] = "byrnie-proxy";

// One arena for a few threads that rarely allocate at once, and memory back to the system after a
// burst: the defaults trade megabytes per thread for speed that is not needed here.
void KeepMemorySmall() {
  mallopt(M_ARENA_MAX, 1);
  // More than the buffers of one turn and the heap's margin: what is returned after each turn and
  // asked for in the next is zeroed every time, at three times the CPU of the relay itself.
  mallopt(M_TRIM_THRESHOLD, 512 * 1024);
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
}

}  // namespace

int main(int argc, char** argv) {
  // Application bytes pass through this process: no core dumps, and no other process of the uid may
  // read its memory.
  prctl(PR_SET_DUMPABLE, 0);
  KeepMemorySmall();
  byrnie::RaiseDescriptorLimit();
  const std::vector<std::string> positional =
      byrnie::ParseCommandLineOrExit(argc, argv,
                                     {kName,
                                      "Carries a pod's TCP connections over mutual TLS, for "
                                      "applications that know nothing of it. SIGTERM drains it, a "
                                      "second one ends it at once; SIGHUP changes nothing."});
  if (!positional.empty()) {
    byrnie::ExitWithError(
        kName, absl::InvalidArgumentError(absl::StrCat("unexpected argument ", positional.front(),
                                                       "; all options are flags, see --help")));
  }
  absl::StatusOr<byrnie::ProxyConfig> config = byrnie::ConfigFromFlags();
  if (!config.ok()) byrnie::ExitWithError(kName, config.status());
  byrnie::Logger logger(STDERR_FILENO, config->log_format, config->log_level);
  const byrnie::SystemClock clock;
  absl::StatusOr<std::unique_ptr<byrnie::Proxy>> proxy =
      byrnie::Proxy::Create(*std::move(config), &logger, &clock);
  if (!proxy.ok()) byrnie::ExitWithError(kName, proxy.status());
  (*proxy)->Run();
  proxy->reset();
  logger.Info("ended");
  return 0;
}
