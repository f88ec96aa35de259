#ifndef BYRNIE_CONTROLPLANE_EVENTS_EVENT_LOG_H_
#define BYRNIE_CONTROLPLANE_EVENTS_EVENT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"

namespace byrnie {

// The kinds of byrnie.operator.v1.Event, with its numbers.
enum class EventKind {
  kCertificateIssued = 1,
  kCertificateRefused = 2,
  kAgentConnected = 3,
  kAgentDisconnected = 4,
  kPolicyChanged = 5,
  kRegistryChanged = 6,
  kTrustChanged = 7,
  kTokenChanged = 8,
  kOperatorRefused = 9,
  kConnectionDenied = 10,
};

// Something that happened in the control plane, for operators who watch. A value.
struct Event {
  // Grows by one with every event of a process, from 1 on.
  uint64_t sequence = 0;
  absl::Time time;
  EventKind kind = EventKind::kCertificateIssued;
  std::string subject;
  std::string message;
  std::string actor;
};

// A place between two events of one log.
struct EventCursor {
  // Of the log: another one in every process.
  uint64_t log = 0;
  // Events up to this one have been seen.
  uint64_t sequence = 0;

  std::string ToString() const;
  // InvalidArgument when the text is none.
  static absl::StatusOr<EventCursor> Parse(absl::string_view text);
};

// The last events of this process, the oldest of which make room. Of one kind and subject there are
// no more than a share of them, the rest of which make room first: an identity whose agent comes
// and goes every second hides what happened to nobody else. In memory alone: the audit log has
// those that must not be lost. Thread-safe.
class EventLog {
 public:
  static constexpr size_t kCapacity = 10000;
  // What a kind and subject may have of a log: one in so many; of a smaller log all.
  static constexpr size_t kShares = 50;
  // Shortest time between two events of a kind that strangers can cause.
  static constexpr absl::Duration kStrangersPace = absl::Seconds(1);

  // The clock outlives it.
  explicit EventLog(const Clock* clock, size_t capacity = kCapacity);
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  void Add(EventKind kind, absl::string_view subject, absl::string_view message,
           absl::string_view actor = "");
  // As Add, for what callers without a proof can cause: the rest of what happens within
  // kStrangersPace is only counted, in the next event of the kind, so that nobody pushes out the
  // others' events.
  void AddOfStranger(EventKind kind, absl::string_view subject, absl::string_view message);

  // What is at a place.
  struct Answer {
    // Absent: nothing yet.
    absl::optional<Event> event;
    // Events between the place and `event` that are not kept any more.
    uint64_t missed = 0;
    // The place is of another process, so that nobody knows how many were missed.
    bool restarted = false;
  };
  // The first event that is kept after `cursor`. The default cursor misses nothing: its answer is
  // the oldest event there is.
  Answer Next(const EventCursor& cursor) const;
  // The place before the first event.
  EventCursor Begin() const { return EventCursor{id_, 0}; }
  // The place after `event`.
  EventCursor After(const Event& event) const { return EventCursor{id_, event.sequence}; }

  // Who is to be told of every event, on the thread that adds it, outside the log's lock. Returns
  // when no call of the old one is running any more, so it must not be called from a listener.
  void SetListener(std::function<void()> listener);

 private:
  struct Pace {
    absl::Duration last = -absl::InfiniteDuration();
    uint64_t unsaid = 0;
  };
  using Source = std::pair<EventKind, std::string>;

  void Append(Event event) ABSL_LOCKS_EXCLUDED(mu_);
  // Of each source the oldest goes first, so the oldest of all is the first of its source.
  void Forget(uint64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock* const clock_;  // Not owned.
  const size_t capacity_, share_;
  const uint64_t id_;
  mutable absl::Mutex mu_;
  std::map<uint64_t, Event> events_ ABSL_GUARDED_BY(mu_);  // By sequence.
  // Those of a kind and subject that are kept, the oldest first.
  std::map<Source, std::deque<uint64_t>> sources_ ABSL_GUARDED_BY(mu_);
  uint64_t last_sequence_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<EventKind, Pace> paces_ ABSL_GUARDED_BY(mu_);
  absl::Mutex listener_mu_;
  std::function<void()> listener_ ABSL_GUARDED_BY(listener_mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EVENTS_EVENT_LOG_H_
