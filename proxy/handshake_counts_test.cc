#include "proxy/handshake_counts.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

using Room = HandshakeCounts::Room;

const IpAddress kFirst = *IpAddress::Parse("10.0.0.1");
const IpAddress kSecond = *IpAddress::Parse("10.0.0.2");
const IpAddress kThird = *IpAddress::Parse("10.0.0.3");

TEST(HandshakeCountsTest, ASourceHasItsShareAndAllHaveTheTotal) {
  HandshakeCounts counts;
  const HandshakeCounts::Limits limits{3, 2};
  EXPECT_EQ(counts.TryAdd(kFirst, limits), Room::kFree);
  EXPECT_EQ(counts.TryAdd(kFirst, limits), Room::kFree);
  EXPECT_EQ(counts.TryAdd(kFirst, limits), Room::kSourceFull);
  EXPECT_EQ(counts.TryAdd(kSecond, limits), Room::kFree);
  EXPECT_EQ(counts.RoomFor(kThird, limits), Room::kFull);
  EXPECT_EQ(counts.TryAdd(kThird, limits), Room::kFull);
  counts.Remove(kFirst);
  EXPECT_EQ(counts.RoomFor(kThird, limits), Room::kFree);
  EXPECT_EQ(counts.TryAdd(kThird, limits), Room::kFree);
}

TEST(HandshakeCountsTest, ItIsCrowdedPastHalfOfTheRoomOrOfASourcesShare) {
  HandshakeCounts counts;
  const HandshakeCounts::Limits limits{6, 4};
  EXPECT_FALSE(counts.Crowded(kFirst, limits));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(counts.TryAdd(kFirst, limits), Room::kFree);
  EXPECT_FALSE(counts.Crowded(kFirst, limits));
  EXPECT_EQ(counts.TryAdd(kFirst, limits), Room::kFree);
  EXPECT_TRUE(counts.Crowded(kFirst, limits));
  EXPECT_FALSE(counts.Crowded(kSecond, limits)) << "another source is not";
  EXPECT_EQ(counts.TryAdd(kSecond, limits), Room::kFree);
  EXPECT_TRUE(counts.Crowded(kThird, limits)) << "now all are";
  counts.Remove(kSecond);
  EXPECT_FALSE(counts.Crowded(kThird, limits));
}

TEST(HandshakeCountsTest, AReplacementTakesThePlaceAndNoOther) {
  HandshakeCounts counts;
  const HandshakeCounts::Limits limits{1, 1};
  EXPECT_EQ(counts.TryAdd(kFirst, limits), Room::kFree);
  counts.Replace(kFirst, kSecond);
  EXPECT_EQ(counts.RoomFor(kSecond, limits), Room::kSourceFull);
  EXPECT_EQ(counts.RoomFor(kFirst, limits), Room::kFull);
  counts.Remove(kSecond);
  EXPECT_EQ(counts.RoomFor(kFirst, limits), Room::kFree);
}

TEST(HandshakeCountsTest, ThreadsTogetherNeverGetMoreThanTheLimit) {
  constexpr size_t kLimit = 3;
  HandshakeCounts counts;
  std::atomic<size_t> held{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int step = 0; step < 5000; ++step) {
        if (counts.TryAdd(kFirst, {kLimit, 100}) != Room::kFree) continue;
        if (++held > kLimit) exceeded = true;
        --held;
        counts.Remove(kFirst);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(counts.RoomFor(kFirst, {1, 1}), Room::kFree);
}

TEST(HandshakeCountsTest, ASourcesShareIsAnEighthButRoomForAFew) {
  EXPECT_EQ(HandshakeCounts::Shared(1024).total, 1024u);
  EXPECT_EQ(HandshakeCounts::Shared(1024).per_source, 128u);
  EXPECT_EQ(HandshakeCounts::Shared(16).per_source, 4u);
  EXPECT_EQ(HandshakeCounts::Shared(2).per_source, 2u);
}

}  // namespace
}  // namespace byrnie
