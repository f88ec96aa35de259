#include "common/event/timer_queue.h"

#include <utility>

namespace byrnie {
namespace {

// Room for fewer entries is not worth giving back.
constexpr size_t kSmallHeap = 256;

}  // namespace

void TimerQueue::Schedule(Entry* entry, absl::Duration deadline) {
  // Saturates: an infinite deadline is some 292 years away.
  const Slot slot{absl::ToInt64Nanoseconds(deadline), next_ticket_++, entry};
  if (!entry->scheduled()) {
    heap_.push_back(slot);
    SiftUp(heap_.size() - 1, slot);
    return;
  }
  const size_t index = entry->index_;
  if (slot < heap_[index]) {
    SiftUp(index, slot);
  } else {
    SiftDown(index, slot);
  }
}

void TimerQueue::Remove(Entry* entry) {
  if (!entry->scheduled()) return;
  const size_t index = entry->index_;
  entry->index_ = Entry::kNone;
  const Slot last = heap_.back();
  heap_.pop_back();
  GiveBackRoom();
  if (index == heap_.size()) return;
  if (index > 0 && last < heap_[(index - 1) / 2]) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

void TimerQueue::GiveBackRoom() {
  if (heap_.capacity() <= kSmallHeap || heap_.size() > heap_.capacity() / 8) return;
  // Half of it free, so that a few entries more do not need all of it again.
  std::vector<Slot> smaller;
  smaller.reserve(heap_.capacity() / 4);
  smaller.assign(heap_.begin(), heap_.end());
  heap_ = std::move(smaller);
}

absl::optional<absl::Duration> TimerQueue::Next() const {
  if (heap_.empty()) return absl::nullopt;
  return absl::Nanoseconds(heap_[0].deadline_ns);
}

TimerQueue::Entry* TimerQueue::PopDue(absl::Duration now, Ticket mark) {
  // What was scheduled since `mark` is due at `now` at the earliest and sorts behind everything
  // older that is due.
  if (heap_.empty() || heap_[0].deadline_ns > absl::ToInt64Nanoseconds(now) ||
      heap_[0].ticket >= mark) {
    return nullptr;
  }
  Entry* entry = heap_[0].entry;
  Remove(entry);
  return entry;
}

void TimerQueue::Place(size_t index, const Slot& slot) {
  heap_[index] = slot;
  slot.entry->index_ = index;
}

void TimerQueue::SiftUp(size_t index, const Slot& slot) {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (!(slot < heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, slot);
}

void TimerQueue::SiftDown(size_t index, const Slot& slot) {
  while (true) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child]) ++child;
    if (!(heap_[child] < slot)) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, slot);
}

}  // namespace byrnie
