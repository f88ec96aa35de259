#ifndef BYRNIE_TEST_BENCH_LOAD_OPTIONS_H_
#define BYRNIE_TEST_BENCH_LOAD_OPTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/net/socket_address.h"

namespace byrnie::load {

enum class Workload {
  kServe,    // The other end of all below.
  kBulk,     // Streams that carry so many bytes one way.
  kConnect,  // Connections with one question and its answer each, one after the other.
  kRequest,  // Questions and answers on connections that last.
  kHold,     // Connections on which nothing happens.
};

// What the command line asks for. A value.
struct Options {
  Workload workload = Workload::kServe;

  // Of kServe.
  uint16_t echo_port = 0;
  uint16_t bulk_port = 0;

  // Of all others.
  SocketAddress to;
  // Connections at the same time.
  int connections = 1;
  // Processes whose CPU time over the window is to be reported.
  std::vector<pid_t> cpu_of;

  // Of kBulk: to the server, or from it; of all streams together.
  bool upload = true;
  uint64_t bytes = 0;

  // Of kConnect and kRequest.
  absl::Duration warm_up = absl::Milliseconds(200);
  absl::Duration window = absl::Seconds(1);
  size_t size = 64;
  // Of kRequest: questions a second, of all connections together; 0: the next after each answer.
  double rate = 0;
};

// Parses the words after the program's name: a workload, then flags "--name=value". InvalidArgument
// names the word that is wrong, or what is missing.
absl::StatusOr<Options> ParseOptions(const std::vector<absl::string_view>& words);

// For --help.
std::string Usage();

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_OPTIONS_H_
