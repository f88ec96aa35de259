#ifndef BYRNIE_CONTROLPLANE_TRUST_PEER_CLOCKS_H_
#define BYRNIE_CONTROLPLANE_TRUST_PEER_CLOCKS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "controlplane/trust/fleet_report.h"

namespace byrnie {

// How far the clock of this machine is from those of other control planes, as far as their reports
// tell: whoever looks often sees a new one within a moment after it was written, so that the time
// in it is that moment by the other's clock. Gates of a rotation that wait for times, and who is
// taken for silent or gone, are to depend on no clock that another one contradicts.
//
// What a report says that was there before nobody looked: a time that has not come here yet is that
// of another clock, and one that is long past is either that of a control plane that is silent or
// of one whose clock is right while this one is ahead. Which of the two, the next report tells, or
// that there is none for longer than one that runs is quiet. Nor is a clock in dispute any longer
// then: who is silent runs no more, whatever his clock showed, and nobody can set it.
//
// A state machine under its owner's lock.
class PeerClocks {
 public:
  // More than writing and finding a report takes.
  static constexpr absl::Duration kMost = absl::Seconds(30);
  // Between two looks; what is found after a longer break may have been there for a while.
  static constexpr absl::Duration kLongestBreak = absl::Seconds(5);

  // `quiet` is how long one that runs says nothing at most, `silent` after how long it is
  // taken for silent.
  PeerClocks(absl::Duration quiet, absl::Duration silent) : quiet_(quiet), silent_(silent) {}

  // Looks at the reports of all others, by both clocks of this machine.
  void Look(const std::vector<FleetReport>& reports, absl::Time now, absl::Duration monotonic);

  // How far this clock is ahead of the other's, or behind it where that is negative, where it is
  // more than kMost; absent: it is not, that is not known, or the other one is silent. Of a report
  // that was looked at.
  absl::optional<absl::Duration> Ahead(const FleetReport& report, absl::Time now,
                                       absl::Duration monotonic) const;
  // When the report was written, by this clock as it is now: as the report says, but where the
  // other's clock shows something else it is when it was seen first.
  absl::Time WrittenAt(const FleetReport& report, absl::Time now, absl::Duration monotonic) const;
  // Why times of the report are not to be judged by this clock; empty: they may be.
  std::string Doubt(const FleetReport& report, absl::Time now, absl::Duration monotonic) const;

 private:
  struct Seen {
    int64_t revision = 0;
    absl::Duration since;  // Monotonic; time in which nobody looked is not counted.
    // Absent: it was not seen being written, and may have been.
    absl::optional<absl::Duration> ahead;
  };

  // As Ahead, also of one that is silent.
  absl::optional<absl::Duration> LastAhead(const FleetReport& report, absl::Time now) const;
  // For how long there has been no newer one, by the monotonic clock.
  absl::Duration Quiet(const FleetReport& report, absl::Duration monotonic) const;
  bool IsSilent(const FleetReport& report, absl::Duration monotonic) const;

  const absl::Duration quiet_, silent_;
  absl::Duration looked_at_ = -absl::InfiniteDuration();
  std::map<std::string, Seen> seen_;  // By instance.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_PEER_CLOCKS_H_
