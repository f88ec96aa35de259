#ifndef BYRNIE_CONTROLPLANE_FLOWS_FLOW_LEDGER_H_
#define BYRNIE_CONTROLPLANE_FLOWS_FLOW_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/telemetry/metrics.h"
#include "controlplane/events/event_log.h"
#include "controlplane/flows/reported_flow.h"

namespace byrnie {

// The connections that the mesh has seen, as agents of this control plane have reported them since
// it started: in memory alone, because whoever reports can report all of it again. Bounded: an
// agent's share, and where all is full the agent that has most loses what was reported longest ago.
// Thread-safe.
class FlowLedger {
 public:
  struct Limits {
    size_t flows = 50000;
    size_t flows_per_reporter = 1024;
    // What nobody has reported for so long is forgotten: a job of every week is still there.
    absl::Duration remembered = absl::Hours(8 * 24);
  };
  // One flow and who reported it.
  struct Entry {
    // The same on every control plane that has it.
    std::string id;
    FlowReporterId reporter;
    // Its proxy has ended, and with it what was open.
    bool ended = false;
    ReportedFlow flow;
  };

  // The pointers outlive it.
  FlowLedger(const Clock* clock, EventLog* events, MetricRegistry* metrics, Limits limits);
  FlowLedger(const Clock* clock, EventLog* events, MetricRegistry* metrics)
      : FlowLedger(clock, events, metrics, Limits()) {}
  FlowLedger(const FlowLedger&) = delete;
  FlowLedger& operator=(const FlowLedger&) = delete;

  // Names this ledger: another one in every process.
  const std::string& name() const { return name_; }

  // Takes what the proxy process `instance` of a reporter has counted since it began. One that had
  // ended and reports is there again.
  void Merge(const FlowReporterId& reporter, uint64_t instance, std::vector<ReportedFlow> flows);
  void OnEnded(const FlowReporterId& reporter, uint64_t instance);

  // All, by id.
  std::vector<Entry> List() const;
  size_t size() const;
  // How long a reporter is to wait before its next report, so that all of them together are few.
  absl::Duration ReportInterval() const;

 private:
  struct Stored {
    std::string id;
    // As last reported.
    ReportedFlow flow;
    // What was counted before the reporter dropped it and began anew, and since when.
    uint64_t opened_before = 0, bytes_sent_before = 0, bytes_received_before = 0;
    absl::Time first_seen;
    absl::Time reported_at;
    // That it was denied was an event.
    bool told = false;
  };
  using Flows = std::map<std::pair<uint64_t, std::string>, Stored>;
  struct Reporter {
    Flows flows;
    std::map<uint64_t, bool> ended;  // By instance.
    absl::Time heard;
    size_t counted = 0;  // Flows, as by_size_ has them.
  };
  using Reporters = std::map<FlowReporterId, Reporter>;

  // True when an event is to tell of it: it was denied, lately, and none has.
  bool MergeOne(const FlowReporterId& id, Reporter* reporter, uint64_t instance,
                const ReportedFlow& flow) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // To be called when a reporter has more or fewer flows than before.
  void OnResized(Reporter* reporter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropOldest(Reporter* reporter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeRoom(Reporter* reporter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Sweep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Duration Interval() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellDenied(const FlowReporterId& id, const ReportedFlow& flow) const;

  const Clock* const clock_;  // Not owned.
  EventLog* const events_;    // Not owned.
  const Limits limits_;
  const std::string name_;
  Counter* const evicted_;
  mutable absl::Mutex mu_;
  Reporters reporters_ ABSL_GUARDED_BY(mu_);
  // Those that have flows, the one with most last: where all is full, each report of a large fleet
  // asks for it.
  std::set<std::pair<size_t, Reporter*>> by_size_ ABSL_GUARDED_BY(mu_);
  size_t size_ ABSL_GUARDED_BY(mu_) = 0;
  size_t active_ ABSL_GUARDED_BY(mu_) = 0;  // Reporters, as of the last sweep.
  absl::Time next_sweep_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_FLOW_LEDGER_H_
