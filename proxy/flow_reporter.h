#ifndef BYRNIE_PROXY_FLOW_REPORTER_H_
#define BYRNIE_PROXY_FLOW_REPORTER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/event/event_loop.h"
#include "common/telemetry/metrics.h"
#include "proxy/flow.h"
#include "proxy/flow_table.h"

namespace byrnie {

// Tells the agent what the workers have seen of connections: what has changed, soon after the first
// change and then every few seconds, and all of it when the agent asks for that or is another one.
// Without a change there is no timer. Lives on the control loop.
//
// One report is under way at a time: the next one waits for its acknowledgement, so that a control
// plane that is slow or away slows this and nothing piles up. Meanwhile edges change in place.
class FlowReporter {
 public:
  struct Options {
    // From the start of one telling to the next, and its share that is random: a fleet's proxies do
    // not tell at once.
    absl::Duration interval = absl::Seconds(5);
    double jitter = 0.2;
    // After a quiet time, from the first change: others come with it.
    absl::Duration first_delay = absl::Milliseconds(500);
    // As link.proto says.
    size_t max_edges = 256;
    size_t max_bytes = 192 * 1024;
  };
  struct Metrics {
    Gauge* edges;
    Counter* left_out;
  };
  // Sends one report; an error when there is no link.
  using Sender = absl::AnyInvocable<absl::Status(const link::v1::FlowReport& report)>;

  // `random` and what the metrics point to outlive it. `instance` names the process.
  FlowReporter(EventLoop* loop, const Options& options, uint64_t instance, Metrics metrics,
               absl::BitGenRef random, Sender sender);
  FlowReporter(const FlowReporter&) = delete;
  FlowReporter& operator=(const FlowReporter&) = delete;

  // What a worker's shard told.
  void Merge(std::vector<Flow> changes, uint64_t left_out);
  void OnLinkUp();
  void OnLinkDown();
  // A report has been passed on; with `tell_all` whoever had what was told has it no more.
  void OnAck(bool tell_all);
  // The same loss, found out between reports. One that is not answered still will be.
  void OnLost();

  const FlowTable& table() const { return table_; }

 private:
  void ScheduleUnlessBusy(absl::Duration earliest);
  void Tell();

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  const uint64_t instance_;
  const Metrics metrics_;
  absl::BitGenRef random_;  // Not owned.
  Sender sender_;
  FlowTable table_;
  const std::unique_ptr<EventLoop::Timer> timer_;
  bool link_up_ = false;
  bool awaiting_ack_ = false;
  // A telling takes more than one report.
  bool unfinished_ = false;
  absl::Duration next_telling_ = absl::ZeroDuration();
  uint64_t counted_left_out_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLOW_REPORTER_H_
