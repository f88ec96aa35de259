#include "common/event/timer_queue.h"

#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

struct TestEntry : TimerQueue::Entry {
  explicit TestEntry(int id = 0) : id(id) {}
  int id;
};

std::vector<int> PopAll(TimerQueue* queue, absl::Duration now) {
  std::vector<int> ids;
  while (TimerQueue::Entry* entry = queue->PopDue(now, queue->Mark())) {
    ids.push_back(static_cast<TestEntry*>(entry)->id);
  }
  return ids;
}

TEST(TimerQueueTest, GivesEntriesInTheOrderOfTheirDeadlines) {
  TimerQueue queue;
  TestEntry a(1), b(2), c(3);
  queue.Schedule(&a, absl::Seconds(3));
  queue.Schedule(&b, absl::Seconds(1));
  queue.Schedule(&c, absl::Seconds(2));
  EXPECT_EQ(queue.Next(), absl::Seconds(1));
  EXPECT_EQ(PopAll(&queue, absl::Seconds(2)), (std::vector<int>{2, 3}));
  EXPECT_TRUE(a.scheduled());
  EXPECT_FALSE(b.scheduled());
  EXPECT_EQ(PopAll(&queue, absl::Seconds(3)), (std::vector<int>{1}));
  EXPECT_TRUE(queue.empty());
}

TEST(TimerQueueTest, GivesEqualDeadlinesInTheOrderOfScheduling) {
  TimerQueue queue;
  std::vector<TestEntry> entries;
  for (int i = 0; i < 50; ++i) entries.emplace_back(i);
  for (TestEntry& entry : entries) queue.Schedule(&entry, absl::Seconds(1));
  std::vector<int> ids = PopAll(&queue, absl::Seconds(1));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(ids[i], i);
}

TEST(TimerQueueTest, HoldsBackWhatWasScheduledAfterTheMark) {
  TimerQueue queue;
  TestEntry old_entry(1), new_entry(2);
  queue.Schedule(&old_entry, absl::Seconds(1));
  TimerQueue::Ticket mark = queue.Mark();
  queue.Schedule(&new_entry, absl::Seconds(1));
  EXPECT_EQ(queue.PopDue(absl::Seconds(1), mark), &old_entry);
  EXPECT_EQ(queue.PopDue(absl::Seconds(1), mark), nullptr);
  EXPECT_EQ(queue.PopDue(absl::Seconds(1), queue.Mark()), &new_entry);
}

TEST(TimerQueueTest, SurvivesAnyMixOfOperations) {
  std::mt19937 random(3);
  TimerQueue queue;
  std::vector<TestEntry> entries(200);
  std::map<TestEntry*, int> expected;
  for (int step = 0; step < 20000; ++step) {
    TestEntry* entry = &entries[random() % entries.size()];
    if (random() % 3 == 0) {
      queue.Remove(entry);
      expected.erase(entry);
    } else {
      int deadline = random() % 1000;
      queue.Schedule(entry, absl::Seconds(deadline));
      expected[entry] = deadline;
    }
  }
  int last = 0;
  while (TimerQueue::Entry* popped = queue.PopDue(absl::InfiniteDuration(), queue.Mark())) {
    auto it = expected.find(static_cast<TestEntry*>(popped));
    ASSERT_NE(it, expected.end());
    ASSERT_GE(it->second, last);
    last = it->second;
    expected.erase(it);
  }
  EXPECT_TRUE(expected.empty());
}

TEST(TimerQueueTest, GivesTheRoomOfABurstBackAfterIt) {
  TimerQueue queue;
  std::vector<TestEntry> entries(5000);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i].id = static_cast<int>(i);
    queue.Schedule(&entries[i], absl::Seconds(static_cast<int>(i)));
  }
  EXPECT_GE(queue.capacity(), entries.size());
  for (size_t i = 10; i < entries.size(); ++i) queue.Remove(&entries[i]);
  EXPECT_LE(queue.capacity(), 256u);
  EXPECT_EQ(PopAll(&queue, absl::InfiniteDuration()),
            (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

}  // namespace
}  // namespace byrnie
