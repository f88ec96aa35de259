#include "common/telemetry/labelled_counters.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(LabelledCountersTest, TheSameValuesAreTheSameSet) {
  LabelledCounters counters(2, 10, 1);
  LabelledCounters::Shard* shard = counters.shard(0);
  LabelledCounters::Set* set = shard->Find({"a", "b"});
  set->Add(0, 2);
  shard->Find({"a", "b"})->Add(0, 3);
  EXPECT_EQ(shard->Find({"a", "b"}), set);
  EXPECT_EQ(set->count(0), 5u);
  EXPECT_EQ(set->count(1), 0u);
  EXPECT_THAT(set->values(), ElementsAre("a", "b"));
}

TEST(LabelledCountersTest, NoValueIsTakenForTwo) {
  LabelledCounters counters(2, 10, 1);
  LabelledCounters::Shard* shard = counters.shard(0);
  EXPECT_NE(shard->Find({"ab", ""}), shard->Find({"a", "b"}));
  EXPECT_NE(shard->Find({std::string("a\0", 2), "b"}), shard->Find({"a", std::string("\0b", 2)}));
}

TEST(LabelledCountersTest, AHundredThousandPeersStayWithinTheLimit) {
  constexpr size_t kLimit = 300;
  constexpr size_t kPeers = 100000;
  LabelledCounters counters(1, kLimit, 2);
  for (size_t i = 0; i < kPeers; ++i) {
    counters.shard(i % 2)->Find({absl::StrCat("spiffe://cluster.local/ns/a/sa/", i)})->Add(0, 1);
  }
  LabelledCounters::Mark mark;
  const std::vector<const LabelledCounters::Set*> all = counters.TakeNew(&mark);
  EXPECT_EQ(all.size(), kLimit + 2);  // One folded set in each shard.
  EXPECT_EQ(counters.folded(), kPeers - kLimit);
  uint64_t total = 0;
  uint64_t folded = 0;
  for (const LabelledCounters::Set* set : all) {
    total += set->count(0);
    if (set->values()[0] == LabelledCounters::kFolded) folded += set->count(0);
  }
  EXPECT_EQ(total, kPeers);
  EXPECT_EQ(folded, kPeers - kLimit);
}

TEST(LabelledCountersTest, ThoseThatWereThereFirstGoOnBeingCountedApart) {
  LabelledCounters counters(1, 2, 1);
  LabelledCounters::Shard* shard = counters.shard(0);
  LabelledCounters::Set* first = shard->Find({"first"});
  shard->Find({"second"});
  LabelledCounters::Set* third = shard->Find({"third"});
  EXPECT_THAT(third->values(), ElementsAre("unknown"));
  EXPECT_EQ(shard->Find({"fourth"}), third);
  EXPECT_EQ(shard->Find({"first"}), first);
}

TEST(LabelledCountersTest, AReaderIsToldOfEachSetOnce) {
  LabelledCounters counters(1, 10, 2);
  LabelledCounters::Mark mark;
  EXPECT_THAT(counters.TakeNew(&mark), IsEmpty());
  LabelledCounters::Set* a = counters.shard(0)->Find({"a"});
  LabelledCounters::Set* b = counters.shard(1)->Find({"b"});
  EXPECT_THAT(counters.TakeNew(&mark), UnorderedElementsAre(a, b));
  LabelledCounters::Set* c = counters.shard(1)->Find({"c"});
  counters.shard(0)->Find({"a"});
  EXPECT_THAT(counters.TakeNew(&mark), ElementsAre(c));
  EXPECT_THAT(counters.TakeNew(&mark), IsEmpty());
}

TEST(LabelledCountersTest, AReaderSeesOnlyWholeSetsWhileTheyAreMade) {
  constexpr int kSets = 5000;
  LabelledCounters counters(2, kSets, 1);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < kSets; ++i) {
      const std::string value = absl::StrCat("value-", i);
      counters.shard(0)->Find({value, value})->Add(3, 1);
    }
    done = true;
  });
  size_t seen = 0;
  bool last = false;
  LabelledCounters::Mark mark;
  while (!last) {
    last = done;
    const std::vector<const LabelledCounters::Set*> found = counters.TakeNew(&mark);
    seen += found.size();
    for (const LabelledCounters::Set* set : found) {
      EXPECT_EQ(set->values()[0], set->values()[1]);
      EXPECT_LE(set->count(3), 1u);
    }
  }
  writer.join();
  EXPECT_EQ(seen, static_cast<size_t>(kSets));
}

}  // namespace
}  // namespace byrnie
