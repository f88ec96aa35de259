#include "proxy/handshake_queue.h"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using Outcome = HandshakeQueue::Outcome;

IpAddress Ip(const std::string& text) { return *IpAddress::Parse(text); }

std::vector<uint64_t> TakeAll(HandshakeQueue* queue) {
  std::vector<uint64_t> order;
  while (const absl::optional<uint64_t> id = queue->Next()) order.push_back(*id);
  return order;
}

TEST(HandshakeQueueTest, OneSourceHasNoMoreThanItsShare) {
  HandshakeCounts counts;
  HandshakeQueue queue({100, 2}, &counts);
  for (int i = 0; i < 2; ++i) queue.OnFirstByte(queue.Admit(Ip("10.0.0.1")).id);
  EXPECT_EQ(queue.Admit(Ip("10.0.0.1")).outcome, Outcome::kSourceFull);
  EXPECT_EQ(queue.Admit(Ip("10.0.0.2")).outcome, Outcome::kAdmitted);
  EXPECT_EQ(queue.size(), 3u);
}

TEST(HandshakeQueueTest, TheAddressesOfOneIpv6PrefixShareOneShare) {
  HandshakeCounts counts;
  HandshakeQueue queue({100, 2}, &counts);
  queue.OnFirstByte(queue.Admit(Ip("fd00::1")).id);
  queue.OnFirstByte(queue.Admit(Ip("fd00::2")).id);
  EXPECT_EQ(queue.Admit(Ip("fd00::3")).outcome, Outcome::kSourceFull);
  EXPECT_EQ(queue.Admit(Ip("fd00:0:0:1::3")).outcome, Outcome::kAdmitted);
}

TEST(HandshakeQueueTest, ASourceThatIsFullLosesItsOwnOldestSilentOne) {
  HandshakeCounts counts;
  HandshakeQueue queue({100, 2}, &counts);
  const uint64_t elsewhere = queue.Admit(Ip("10.0.0.2")).id;
  const uint64_t spoken = queue.Admit(Ip("10.0.0.1")).id;
  queue.OnFirstByte(spoken);
  const uint64_t silent = queue.Admit(Ip("10.0.0.1")).id;
  EXPECT_EQ(queue.SilentVictim(Ip("10.0.0.1")), silent);
  EXPECT_EQ(queue.SilentVictim(Ip("10.0.0.2")), absl::nullopt);
  const HandshakeQueue::Admission admission = queue.Admit(Ip("10.0.0.1"));
  EXPECT_EQ(admission.outcome, Outcome::kAdmitted);
  EXPECT_EQ(admission.evicted, silent);
  EXPECT_NE(admission.evicted, elsewhere);
  EXPECT_EQ(queue.size(), 3u);
}

TEST(HandshakeQueueTest, WhenFullTheOldestSilentOneGoesWhoseverItIs) {
  HandshakeCounts counts;
  HandshakeQueue queue({3, 2}, &counts);
  const uint64_t spoken = queue.Admit(Ip("10.0.0.1")).id;
  queue.OnFirstByte(spoken);
  const uint64_t oldest = queue.Admit(Ip("10.0.0.2")).id;
  queue.Admit(Ip("10.0.0.3"));
  EXPECT_EQ(queue.SilentVictim(Ip("10.0.0.4")), oldest);
  const HandshakeQueue::Admission admission = queue.Admit(Ip("10.0.0.4"));
  EXPECT_EQ(admission.outcome, Outcome::kAdmitted);
  EXPECT_EQ(admission.evicted, oldest);
}

TEST(HandshakeQueueTest, WhenNobodyIsSilentTheHeaviestSourceMakesRoomForOthers) {
  HandshakeCounts counts;
  HandshakeQueue queue({4, 3}, &counts);
  const uint64_t oldest = queue.Admit(Ip("10.0.0.1")).id;
  for (int i = 0; i < 2; ++i) queue.Admit(Ip("10.0.0.1"));
  queue.Admit(Ip("10.0.0.2"));
  for (uint64_t id = 1; id <= 4; ++id) queue.OnFirstByte(id);
  HandshakeQueue::Admission admission = queue.Admit(Ip("10.0.0.3"));
  EXPECT_EQ(admission.outcome, Outcome::kAdmitted);
  EXPECT_EQ(admission.evicted, oldest);
  queue.OnFirstByte(admission.id);
  // 10.0.0.2 has one, and would have as many as the heaviest.
  EXPECT_EQ(queue.Admit(Ip("10.0.0.2")).outcome, Outcome::kFull);
}

TEST(HandshakeQueueTest, SourcesTakeTurns) {
  HandshakeCounts counts;
  HandshakeQueue queue({100, 50}, &counts);
  std::vector<uint64_t> flood;
  for (int i = 0; i < 4; ++i) flood.push_back(queue.Admit(Ip("10.0.0.1")).id);
  const uint64_t honest = queue.Admit(Ip("10.0.0.2")).id;
  for (uint64_t id : flood) queue.OnFirstByte(id);
  queue.OnFirstByte(honest);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(flood[0], honest, flood[1], flood[2], flood[3]));
  EXPECT_FALSE(queue.anyone_in_line());
  EXPECT_EQ(queue.size(), 5u);
}

TEST(HandshakeQueueTest, ThoseOfOneSourceGoInOrderOfTheirFirstBytes) {
  HandshakeCounts counts;
  HandshakeQueue queue({100, 50}, &counts);
  const uint64_t first = queue.Admit(Ip("10.0.0.1")).id;
  const uint64_t second = queue.Admit(Ip("10.0.0.1")).id;
  queue.OnFirstByte(second);
  queue.OnFirstByte(first);
  queue.OnFirstByte(first);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(second, first));
}

TEST(HandshakeQueueTest, WhatIsRemovedIsNotServedAndLeavesItsRoom) {
  HandshakeCounts counts;
  HandshakeQueue queue({2, 2}, &counts);
  const uint64_t first = queue.Admit(Ip("10.0.0.1")).id;
  const uint64_t second = queue.Admit(Ip("10.0.0.2")).id;
  queue.OnFirstByte(first);
  queue.OnFirstByte(second);
  queue.Remove(first);
  queue.Remove(first);
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(second));
  EXPECT_EQ(queue.Admit(Ip("10.0.0.1")).outcome, Outcome::kAdmitted);
}

TEST(HandshakeQueueTest, TheLimitsAreOfAllQueuesThatShareTheirCounts) {
  HandshakeCounts counts;
  HandshakeQueue here({4, 2}, &counts);
  {
    HandshakeQueue elsewhere({4, 2}, &counts);
    for (int i = 0; i < 2; ++i) elsewhere.Admit(Ip("10.0.0.1"));
    // Its share is used up, and none of it is here to be evicted.
    EXPECT_EQ(here.SilentVictim(Ip("10.0.0.1")), absl::nullopt);
    EXPECT_EQ(here.Admit(Ip("10.0.0.1")).outcome, Outcome::kSourceFull);
    elsewhere.Admit(Ip("10.0.0.2"));
    const uint64_t silent = here.Admit(Ip("10.0.0.3")).id;
    EXPECT_EQ(here.SilentVictim(Ip("10.0.0.4")), silent);
    EXPECT_EQ(here.Admit(Ip("10.0.0.4")).evicted, silent);
    EXPECT_EQ(here.size() + elsewhere.size(), 4u);
  }
  // A queue that is gone has given back what it held.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(here.Admit(Ip("10.0.0.1")).outcome, Outcome::kAdmitted);
}

TEST(HandshakeQueueTest, WithNothingHereANewcomerIsRefusedWhenAllRoomIsTakenElsewhere) {
  HandshakeCounts counts;
  HandshakeQueue here({1, 1}, &counts);
  HandshakeQueue elsewhere({1, 1}, &counts);
  elsewhere.Admit(Ip("10.0.0.1"));
  EXPECT_EQ(here.Admit(Ip("10.0.0.2")).outcome, Outcome::kFull);
}

TEST(HandshakeQueueTest, StaysConsistentWhateverHappens) {
  std::mt19937 random(1);
  HandshakeCounts counts;
  HandshakeQueue queue({20, 5}, &counts);
  std::vector<uint64_t> known;
  for (int step = 0; step < 20000; ++step) {
    switch (random() % 4) {
      case 0: {
        const HandshakeQueue::Admission admission =
            queue.Admit(Ip(absl::StrCat("10.0.0.", random() % 9)));
        if (admission.outcome == Outcome::kAdmitted) known.push_back(admission.id);
        break;
      }
      case 1:
        if (!known.empty()) queue.OnFirstByte(known[random() % known.size()]);
        break;
      case 2:
        queue.Next();
        break;
      case 3:
        if (!known.empty()) queue.Remove(known[random() % known.size()]);
        break;
    }
    ASSERT_LE(queue.size(), 20u);
  }
  for (uint64_t id : known) queue.Remove(id);
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_FALSE(queue.anyone_in_line());
}

}  // namespace
}  // namespace byrnie
