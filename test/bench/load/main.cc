// The load of test/bench/speed: a server, and clients that measure. See --help.

#include <sys/prctl.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/base/descriptor_limit.h"
#include "common/base/json_writer.h"
#include "test/bench/load/client.h"
#include "test/bench/load/measurement.h"
#include "test/bench/load/options.h"
#include "test/bench/load/poller.h"
#include "test/bench/load/server.h"

namespace byrnie::load {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

void RunClient(const Options& options, Poller* poller, Measurement* measurement) {
  switch (options.workload) {
    case Workload::kServe:
      break;
    case Workload::kBulk:
      return RunBulk(options, poller, measurement);
    case Workload::kConnect:
      return RunConnect(options, poller, measurement);
    case Workload::kRequest:
      return RunRequest(options, poller, measurement);
    case Workload::kHold:
      return RunHold(options, poller, measurement);
  }
}

int Serve(const Options& options, Poller* poller) {
  const absl::Status started = StartServer(options, poller);
  if (!started.ok()) return Fail(started);
  std::printf("{\"listening\": %d}\n", options.echo_port);
  std::fflush(stdout);
  while (true) poller->Turn(absl::Hours(1));
}

int Main(const std::vector<absl::string_view>& words) {
  if (!words.empty() && words.front() == "--help") {
    std::fputs(Usage().c_str(), stdout);
    return 0;
  }
  const absl::StatusOr<Options> options = ParseOptions(words);
  if (!options.ok()) return Fail(options.status());
  RaiseDescriptorLimit();
  // Timers as exact as the kernel has them: the default adds up to 50 µs to each.
  prctl(PR_SET_TIMERSLACK, 1);
  const absl::StatusOr<std::unique_ptr<Poller>> poller = Poller::Create();
  if (!poller.ok()) return Fail(poller.status());
  if (options->workload == Workload::kServe) return Serve(*options, poller->get());
  SystemClock clock;
  Measurement measurement(&clock, options->cpu_of);
  RunClient(*options, poller->get(), &measurement);
  if (!measurement.status().ok()) return Fail(measurement.status());
  JsonWriter json;
  json.BeginObject();
  measurement.Report(&json);
  json.EndObject();
  std::printf("%s\n", std::move(json).Finish().c_str());
  return 0;
}

}  // namespace
}  // namespace byrnie::load

int main(int argc, char** argv) {
  return byrnie::load::Main(std::vector<absl::string_view>(argv + 1, argv + argc));
}
