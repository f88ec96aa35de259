#ifndef BYRNIE_CERTAGENT_FLOW_FORWARDER_H_
#define BYRNIE_CERTAGENT_FLOW_FORWARDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "byrnie/flow/v1/flow.pb.h"
#include "byrnie/link/v1/link.pb.h"
#include "certagent/flow_collector.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/repeat_filter.h"

namespace byrnie {

// Passes on what the proxy has seen of connections, one report at a time, and keeps none of it: the
// proxy has it all, and tells all of it again when the control plane has lost it. A report that
// cannot be delivered is tried again, for as long as the proxy is there; nothing else waits for it.
// One that the control plane refuses as malformed is dropped.
// Lives on the agent's loop.
class FlowForwarder {
 public:
  // The next report may come; with `tell_all` it is to be of all that is known.
  using Callback = absl::AnyInvocable<void(bool tell_all)>;

  // The pointers and `random` outlive it. `on_lost` runs, in a later turn, when it turns out
  // between two reports that the control plane has none of the proxy's edges.
  FlowForwarder(EventLoop* loop, FlowCollector* collector, Logger* log, MetricRegistry* metrics,
                absl::BitGenRef random, absl::AnyInvocable<void()> on_lost);
  FlowForwarder(const FlowForwarder&) = delete;
  FlowForwarder& operator=(const FlowForwarder&) = delete;

  // `done` runs once, in a later turn, unless the proxy goes before. InvalidArgument: no proxy
  // sends that. FailedPrecondition: the one before is not answered.
  absl::Status Forward(const link::v1::FlowReport& report, Callback done);
  // Its connections are over; what it has not been answered never will be.
  void OnProxyGone();
  // The control plane may be another one, or have started again: finds out.
  void OnControlPlane();

 private:
  void Send();
  void OnToldOfEnd(uint64_t instance, const absl::Status& status);
  void OnAnswer(absl::StatusOr<flow::v1::ReportResponse> answer);
  void OnLooked(const std::string& table);
  void Answer();

  EventLoop* const loop_;           // Not owned.
  FlowCollector* const collector_;  // Not owned.
  Logger* const log_;               // Not owned.
  // Under way, or waiting for its turn; none: done_ is null.
  flow::v1::ReportRequest request_;
  Callback done_;
  bool tell_all_ = false;
  // It is delivered or dropped, and its answer waits.
  bool settled_ = false;
  // Of the proxy that reports; 0: none does.
  uint64_t instance_ = 0;
  // Proxies that have gone, which nobody has been told yet.
  std::vector<uint64_t> ended_;
  bool sending_ = false;
  // It is to be found out where the proxy's edges are.
  bool look_ = false;
  // Where the proxy's edges are; empty: not known.
  std::string table_;
  absl::AnyInvocable<void()> on_lost_;
  Backoff backoff_;
  RepeatFilter failures_said_;
  const std::unique_ptr<EventLoop::Timer> again_;
  const std::unique_ptr<EventLoop::Timer> answer_;

  Counter* delivered_total_;
  Counter* failed_total_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_FLOW_FORWARDER_H_
