#include "proxy/flow_reporter.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "common/base/check.h"
#include "proxy/flow_messages.h"

namespace byrnie {

FlowReporter::FlowReporter(EventLoop* loop, const Options& options, uint64_t instance,
                           Metrics metrics, absl::BitGenRef random, Sender sender)
    : loop_(loop),
      options_(options),
      instance_(instance),
      metrics_(metrics),
      random_(random),
      sender_(std::move(sender)),
      table_(options.max_bytes),
      timer_(loop->NewTimer([this] { Tell(); })) {}

void FlowReporter::Merge(std::vector<Flow> changes, uint64_t left_out) {
  DCHECK(loop_->InLoopThread());
  table_.Merge(std::move(changes), left_out);
  metrics_.edges->Set(static_cast<int64_t>(table_.size()));
  metrics_.left_out->Increment(table_.left_out() -
                               std::exchange(counted_left_out_, table_.left_out()));
  ScheduleUnlessBusy(options_.first_delay);
}

void FlowReporter::OnLinkUp() {
  link_up_ = true;
  awaiting_ack_ = unfinished_ = false;
  // The agent may be another one, and what was sent over the old link may have gone with it.
  table_.MarkAllChanged();
  ScheduleUnlessBusy(options_.first_delay);
}

void FlowReporter::OnLinkDown() {
  link_up_ = false;
  timer_->Cancel();
}

void FlowReporter::OnAck(bool tell_all) {
  awaiting_ack_ = false;
  if (tell_all) table_.MarkAllChanged();
  ScheduleUnlessBusy(options_.first_delay);
}

void FlowReporter::OnLost() {
  table_.MarkAllChanged();
  ScheduleUnlessBusy(options_.first_delay);
}

void FlowReporter::ScheduleUnlessBusy(absl::Duration earliest) {
  if (!link_up_ || awaiting_ack_ || timer_->scheduled() || !table_.changed()) return;
  timer_->Schedule(unfinished_ ? absl::ZeroDuration()
                               : std::max(earliest, next_telling_ - loop_->Now()));
}

void FlowReporter::Tell() {
  const std::vector<Flow> flows = table_.TakeChanged(options_.max_edges);
  if (flows.empty()) return;
  if (!std::exchange(unfinished_, table_.changed())) {
    const double factor = absl::Uniform(random_, 1 - options_.jitter, 1 + options_.jitter);
    next_telling_ = loop_->Now() + options_.interval * factor;
  }
  link::v1::FlowReport report;
  report.set_instance(instance_);
  report.set_left_out(table_.left_out());
  for (const Flow& flow : flows) ToLink(flow, report.add_edges());
  // Without a link all is told again once there is one.
  awaiting_ack_ = sender_(report).ok();
}

}  // namespace byrnie
