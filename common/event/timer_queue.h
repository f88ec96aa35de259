#ifndef BYRNIE_COMMON_EVENT_TIMER_QUEUE_H_
#define BYRNIE_COMMON_EVENT_TIMER_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// The deadlines of one loop: a binary heap whose entries know their place in it, so that
// scheduling, rescheduling and cancelling are O(log n) without searching. Equal deadlines come in
// the order in which they were scheduled. Lives on one loop. 24 bytes per scheduled entry, nothing
// for others, and what a burst needed is given back after it.
class TimerQueue {
 public:
  // What a timer derives from. Removed from its queue before it dies.
  class Entry {
   public:
    bool scheduled() const { return index_ != kNone; }

   protected:
    Entry() = default;
    ~Entry() = default;

   private:
    friend class TimerQueue;
    static constexpr size_t kNone = static_cast<size_t>(-1);
    size_t index_ = kNone;
  };

  // A mark in the sequence of Schedule() calls.
  using Ticket = uint64_t;

  // Puts `entry` at `deadline`, replacing its earlier one.
  void Schedule(Entry* entry, absl::Duration deadline);
  // Does nothing when `entry` is not scheduled.
  void Remove(Entry* entry);

  bool empty() const { return heap_.empty(); }
  // The earliest deadline.
  absl::optional<absl::Duration> Next() const;

  // Everything scheduled from now on is not older than this mark.
  Ticket Mark() const { return next_ticket_; }
  // Entries there is memory for.
  size_t capacity() const { return heap_.capacity(); }
  // Removes and returns the first entry that is due at `now` and was scheduled before `mark`; null
  // when there is none. `now` never goes back and no deadline scheduled since `mark` is before
  // `now`.
  Entry* PopDue(absl::Duration now, Ticket mark);

 private:
  struct Slot {
    int64_t deadline_ns;
    Ticket ticket;
    Entry* entry;
    bool operator<(const Slot& other) const {
      return deadline_ns != other.deadline_ns ? deadline_ns < other.deadline_ns
                                              : ticket < other.ticket;
    }
  };
  void GiveBackRoom();
  void Place(size_t index, const Slot& slot);
  void SiftUp(size_t index, const Slot& slot);
  void SiftDown(size_t index, const Slot& slot);

  std::vector<Slot> heap_;
  Ticket next_ticket_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_EVENT_TIMER_QUEUE_H_
