#ifndef BYRNIE_TEST_BENCH_LOAD_SERVER_H_
#define BYRNIE_TEST_BENCH_LOAD_SERVER_H_

#include "absl/status/status.h"
#include "test/bench/load/options.h"
#include "test/bench/load/poller.h"

namespace byrnie::load {

// Listens on the two ports, on all addresses: one sends back what it gets, the other carries out
// bulk orders. Each connection lasts until its client closes it.
absl::Status StartServer(const Options& options, Poller* poller);

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_SERVER_H_
