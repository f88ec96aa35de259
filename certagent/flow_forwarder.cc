#include "certagent/flow_forwarder.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "certagent/flow_messages.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "google/protobuf/timestamp.pb.h"

namespace byrnie {
namespace {

// Whatever the control plane asks for.
constexpr absl::Duration kLongestPause = absl::Minutes(10);
// To one that takes no reports: it may be of an older release, or somebody else's.
constexpr absl::Duration kUnsupportedPause = absl::Minutes(10);
// Of proxies that went while nobody could be told.
constexpr size_t kMaxEnded = 16;

Backoff::Options RetryBackoff() {
  Backoff::Options options;
  options.initial = absl::Seconds(1);
  options.max = absl::Minutes(1);
  options.jitter = 0.5;
  options.min = absl::Milliseconds(500);
  return options;
}

// What an error means for what was to be reported.
enum class Failure {
  // It may be taken the next time.
  kForNow,
  // It is refused for what it says: it will be again, and would keep back all that follows.
  kForGood,
  // Nothing of the kind is taken there.
  kUnsupported,
};

Failure FailureOf(const absl::Status& error) {
  if (absl::IsUnimplemented(error)) return Failure::kUnsupported;
  return absl::IsInvalidArgument(error) ? Failure::kForGood : Failure::kForNow;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

}  // namespace

FlowForwarder::FlowForwarder(EventLoop* loop, FlowCollector* collector, Logger* log,
                             MetricRegistry* metrics, absl::BitGenRef random,
                             absl::AnyInvocable<void()> on_lost)
    : loop_(loop),
      collector_(collector),
      log_(log),
      on_lost_(std::move(on_lost)),
      backoff_(RetryBackoff(), random),
      again_(loop->NewTimer([this] { Send(); })),
      answer_(loop->NewTimer([this] { Answer(); })) {
  constexpr char kReports[] = "byrnie_certagent_flow_reports_total";
  constexpr char kHelp[] =
      "Reports to the control plane of the connections the proxy has seen, by result.";
  delivered_total_ = metrics->AddCounter(kReports, kHelp, {{"result", "delivered"}});
  failed_total_ = metrics->AddCounter(kReports, kHelp, {{"result", "failed"}});
}

absl::Status FlowForwarder::Forward(const link::v1::FlowReport& report, Callback done) {
  DCHECK(loop_->InLoopThread());
  if (done_ != nullptr) {
    return absl::FailedPreconditionError(
        "the proxy sent a flow report before the last one's answer");
  }
  ASSIGN_OR_RETURN(request_, ToReportRequest(report));
  instance_ = report.instance();
  done_ = std::move(done);
  settled_ = tell_all_ = false;
  Send();
  return absl::OkStatus();
}

void FlowForwarder::OnProxyGone() {
  answer_->Cancel();
  again_->Cancel();
  done_ = nullptr;
  // The next proxy tells all at first, whatever there is already.
  table_.clear();
  if (instance_ == 0) return;
  if (ended_.size() == kMaxEnded) ended_.erase(ended_.begin());
  ended_.push_back(std::exchange(instance_, 0));
  Send();
}

void FlowForwarder::OnControlPlane() {
  // A report that is to come finds it out.
  look_ = instance_ != 0 && !table_.empty() && (done_ == nullptr || settled_);
  Send();
}

void FlowForwarder::Send() {
  if (sending_ || again_->scheduled()) return;
  flow::v1::ReportRequest own;
  flow::v1::ReportRequest* next = &own;
  if (!ended_.empty()) {
    own.set_instance(ended_.front());
    own.set_ended(true);
  } else if (done_ != nullptr && !settled_) {
    next = &request_;
  } else if (std::exchange(look_, false)) {
    own.set_instance(instance_);
  } else {
    return;
  }
  sending_ = true;
  // The proxy's clock is this one: both run on one machine.
  SetTime(loop_->WallNow(), next->mutable_sent_at());
  const bool look = next == &own && !own.ended();
  collector_->Report(*next, [this, instance = next->instance(), end = next->ended(),
                             look](absl::StatusOr<flow::v1::ReportResponse> answer) {
    sending_ = false;
    if (end) return OnToldOfEnd(instance, answer.status());
    if (look) {
      if (answer.ok() && instance == instance_) OnLooked(answer->table());
      return Send();
    }
    // The proxy that it was about may have gone meanwhile.
    if (done_ == nullptr || request_.instance() != instance) return Send();
    OnAnswer(std::move(answer));
  });
}

// Until it is told, what was open at that proxy counts as open.
void FlowForwarder::OnToldOfEnd(uint64_t instance, const absl::Status& status) {
  if (!status.ok() && FailureOf(status) == Failure::kForNow) {
    again_->Schedule(backoff_.Next());
    return;
  }
  backoff_.Reset();
  ended_.erase(std::remove(ended_.begin(), ended_.end(), instance), ended_.end());
  Send();
}

void FlowForwarder::OnAnswer(absl::StatusOr<flow::v1::ReportResponse> answer) {
  if (!answer.ok()) {
    failed_total_->Increment();
    const Failure failure = FailureOf(answer.status());
    const absl::Duration delay =
        failure == Failure::kUnsupported ? kUnsupportedPause : backoff_.Next();
    const bool refused = failure == Failure::kForGood;
    const absl::optional<uint64_t> unsaid =
        failures_said_.Admit(answer.status().ToString(), loop_->Now());
    log_->Log(unsaid.has_value() ? LogLevel::kInfo : LogLevel::kDebug,
              refused ? "the control plane refuses a report of connections, which is dropped"
                      : "connections not reported to the control plane, trying again",
              {{"reason", answer.status().ToString()},
               {"not_logged", unsaid.value_or(0)},
               {"next_in", absl::FormatDuration(delay)}});
    settled_ = refused;
    (refused ? answer_ : again_)->Schedule(delay);
    return;
  }
  delivered_total_->Increment();
  backoff_.Reset();
  failures_said_.Reset();
  settled_ = true;
  tell_all_ = !table_.empty() && table_ != answer->table();
  table_ = answer->table();
  absl::Duration pause = absl::ZeroDuration();
  if (answer->has_next_report_after()) {
    pause = absl::Seconds(answer->next_report_after().seconds()) +
            absl::Nanoseconds(answer->next_report_after().nanos());
  }
  answer_->Schedule(std::min(std::max(pause, absl::ZeroDuration()), kLongestPause));
}

void FlowForwarder::OnLooked(const std::string& table) {
  if (table == std::exchange(table_, table)) return;
  // A report whose answer waits says so by that.
  if (done_ != nullptr) {
    tell_all_ = true;
  } else {
    on_lost_();
  }
}

void FlowForwarder::Answer() {
  Callback done = std::exchange(done_, nullptr);
  done(tell_all_);
}

}  // namespace byrnie
