#include "controlplane/events/event_log.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace byrnie {

constexpr size_t EventLog::kShares;

std::string EventCursor::ToString() const { return absl::StrCat(absl::Hex(log), "-", sequence); }

absl::StatusOr<EventCursor> EventCursor::Parse(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '-');
  EventCursor cursor;
  if (parts.size() != 2 || !absl::SimpleHexAtoi(parts[0], &cursor.log) ||
      !absl::SimpleAtoi(parts[1], &cursor.sequence)) {
    return absl::InvalidArgumentError(
        "is not the cursor of an event; leave it out to begin with what is kept");
  }
  return cursor;
}

EventLog::EventLog(const Clock* clock, size_t capacity)
    : clock_(clock),
      capacity_(std::max<size_t>(capacity, 1)),
      share_(capacity_ < kShares ? capacity_ : capacity_ / kShares),
      // Two processes of one control plane do not start in the same microsecond.
      id_(static_cast<uint64_t>(absl::ToUnixMicros(clock->WallNow()))) {}

void EventLog::Add(EventKind kind, absl::string_view subject, absl::string_view message,
                   absl::string_view actor) {
  Append(Event{0, clock_->WallNow(), kind, std::string(subject), std::string(message),
               std::string(actor)});
}

void EventLog::AddOfStranger(EventKind kind, absl::string_view subject, absl::string_view message) {
  const absl::Duration now = clock_->MonotonicNow();
  uint64_t unsaid;
  {
    absl::MutexLock lock(&mu_);
    Pace& pace = paces_[kind];
    if (now - pace.last < kStrangersPace) {
      ++pace.unsaid;
      return;
    }
    unsaid = std::exchange(pace.unsaid, 0);
    pace.last = now;
  }
  Append(Event{0, clock_->WallNow(), kind, std::string(subject),
               unsaid == 0 ? std::string(message)
                           : absl::StrCat(message, " (and ", unsaid, " more before it)"),
               ""});
}

void EventLog::Append(Event event) {
  {
    absl::MutexLock lock(&mu_);
    event.sequence = ++last_sequence_;
    std::deque<uint64_t>& kept = sources_[{event.kind, event.subject}];
    kept.push_back(event.sequence);
    const uint64_t oldest = kept.size() > share_ ? kept.front() : 0;
    events_.emplace(event.sequence, std::move(event));
    if (oldest != 0) {
      Forget(oldest);
    } else if (events_.size() > capacity_) {
      Forget(events_.begin()->first);
    }
  }
  absl::MutexLock lock(&listener_mu_);
  if (listener_) listener_();
}

void EventLog::Forget(uint64_t sequence) {
  const auto event = events_.find(sequence);
  const auto source = sources_.find({event->second.kind, event->second.subject});
  source->second.pop_front();
  if (source->second.empty()) sources_.erase(source);
  events_.erase(event);
}

EventLog::Answer EventLog::Next(const EventCursor& cursor) const {
  Answer answer;
  absl::MutexLock lock(&mu_);
  const bool anywhere = cursor.log == 0;
  answer.restarted = !anywhere && cursor.log != id_;
  // A place that is not reached yet is of a log that does not exist; it is taken for the end.
  const uint64_t seen = cursor.log == id_ ? std::min(cursor.sequence, last_sequence_) : 0;
  const auto next = events_.upper_bound(seen);
  if (next == events_.end()) return answer;
  if (!anywhere && !answer.restarted) answer.missed = next->first - (seen + 1);
  answer.event = next->second;
  return answer;
}

void EventLog::SetListener(std::function<void()> listener) {
  absl::MutexLock lock(&listener_mu_);
  listener_ = std::move(listener);
}

}  // namespace byrnie
