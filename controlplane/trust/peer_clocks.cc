#include "controlplane/trust/peer_clocks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

std::string Text(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

}  // namespace

constexpr absl::Duration PeerClocks::kMost;
constexpr absl::Duration PeerClocks::kLongestBreak;

void PeerClocks::Look(const std::vector<FleetReport>& reports, absl::Time now,
                      absl::Duration monotonic) {
  const absl::Duration unwatched =
      std::max(absl::ZeroDuration(), monotonic - looked_at_ - kLongestBreak);
  const bool often = unwatched == absl::ZeroDuration();
  looked_at_ = monotonic;
  std::map<std::string, Seen> seen;
  for (const FleetReport& report : reports) {
    const auto known = seen_.find(report.instance);
    // Or an older one, which another thread has read before and looks at only now.
    if (known != seen_.end() && report.revision <= known->second.revision) {
      // The store may have been away, for whoever writes there, too.
      Seen same = known->second;
      same.since += unwatched;
      seen.emplace(report.instance, same);
      continue;
    }
    Seen next{report.revision, monotonic, absl::nullopt};
    // It cannot be written later than now.
    if ((often && known != seen_.end()) || report.written_at > now + kMost) {
      next.ahead = now - report.written_at;
    } else if (known != seen_.end()) {
      next.ahead = known->second.ahead;
    }
    seen.emplace(report.instance, next);
  }
  seen_ = std::move(seen);
}

absl::optional<absl::Duration> PeerClocks::LastAhead(const FleetReport& report,
                                                     absl::Time now) const {
  const auto known = seen_.find(report.instance);
  absl::optional<absl::Duration> ahead;
  if (known != seen_.end()) ahead = known->second.ahead;
  if (!ahead.has_value() && report.written_at > now) ahead = now - report.written_at;
  if (!ahead.has_value() || absl::AbsDuration(*ahead) <= kMost) return absl::nullopt;
  return ahead;
}

absl::Duration PeerClocks::Quiet(const FleetReport& report, absl::Duration monotonic) const {
  const auto known = seen_.find(report.instance);
  return known == seen_.end() ? absl::ZeroDuration() : monotonic - known->second.since;
}

bool PeerClocks::IsSilent(const FleetReport& report, absl::Duration monotonic) const {
  return Quiet(report, monotonic) > quiet_ + kMost;
}

absl::optional<absl::Duration> PeerClocks::Ahead(const FleetReport& report, absl::Time now,
                                                 absl::Duration monotonic) const {
  return IsSilent(report, monotonic) ? absl::nullopt : LastAhead(report, now);
}

absl::Time PeerClocks::WrittenAt(const FleetReport& report, absl::Time now,
                                 absl::Duration monotonic) const {
  if (!LastAhead(report, now).has_value()) return report.written_at;
  // Not by the wall clock of then: it may have been this one that was wrong, and is set.
  return now - Quiet(report, monotonic);
}

std::string PeerClocks::Doubt(const FleetReport& report, absl::Time now,
                              absl::Duration monotonic) const {
  const absl::optional<absl::Duration> ahead = Ahead(report, now, monotonic);
  if (ahead.has_value()) {
    return absl::StrCat("has a clock that is ", Text(absl::AbsDuration(*ahead)),
                        *ahead > absl::ZeroDuration() ? " behind" : " ahead of",
                        " this one's: set both");
  }
  if (report.written_at + silent_ < now && !IsSilent(report, monotonic)) {
    return "is silent, or this clock is ahead, which is known once it has been waited for";
  }
  return "";
}

}  // namespace byrnie
