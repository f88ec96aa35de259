#include "proxy/peer_usage.h"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr char kClient[] = "spiffe://cluster.local/ns/demo/sa/client";
constexpr char kOther[] = "spiffe://cluster.local/ns/demo/sa/other";

TEST(PeerUsageTest, CountsTunnelsOfAPeerAndOfAll) {
  PeerUsage usage;
  PeerUsage::Tunnel first = usage.AddTunnel(kClient);
  PeerUsage::Tunnel second = usage.AddTunnel(kClient);
  const PeerUsage::Tunnel other = usage.AddTunnel(kOther);
  EXPECT_EQ(second.of_peer, 2u);
  EXPECT_EQ(other.of_peer, 1u);
  EXPECT_EQ(other.of_all, 3u);
  first.share.Release();
  first.share.Release();
  EXPECT_EQ(usage.AddTunnel(kClient).of_peer, 2u);
}

TEST(PeerUsageTest, AConnectionPastThePeersLimitGetsNoShare) {
  PeerUsage usage;
  const PeerUsage::Share first = usage.AddConnection(kClient, 2);
  PeerUsage::Share second = usage.AddConnection(kClient, 2);
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
  EXPECT_FALSE(usage.AddConnection(kClient, 2));
  EXPECT_TRUE(usage.AddConnection(kOther, 2));
  second = PeerUsage::Share();
  EXPECT_TRUE(usage.AddConnection(kClient, 2));
}

TEST(PeerUsageTest, AShareThatMovesIsCountedOnce) {
  PeerUsage usage;
  PeerUsage::Share share = usage.AddConnection(kClient, 1);
  PeerUsage::Share moved = std::move(share);
  EXPECT_FALSE(share);  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(usage.AddConnection(kClient, 1));
  moved.Release();
  EXPECT_TRUE(usage.AddConnection(kClient, 1));
}

TEST(PeerUsageTest, SaysHowManyAPeerHas) {
  PeerUsage usage;
  const PeerUsage::Share first = usage.AddConnection(kClient, 9);
  EXPECT_EQ(first.connections(), 1u);
  const PeerUsage::Share second = usage.AddConnection(kClient, 9);
  EXPECT_EQ(second.connections(), 2u);
  EXPECT_EQ(PeerUsage::Share().connections(), 0u);
}

TEST(PeerUsageTest, ForgetsAPeerThatHasNothingLeft) {
  PeerUsage usage;
  PeerUsage::Tunnel tunnel = usage.AddTunnel(kClient);
  // Connections outlive their tunnel.
  PeerUsage::Share connection = usage.AddConnection(kClient, 1);
  tunnel.share.Release();
  EXPECT_EQ(usage.peers(), 1u);
  connection.Release();
  EXPECT_EQ(usage.peers(), 0u);
}

TEST(PeerUsageTest, ThreadsTogetherNeverGetMoreThanTheLimit) {
  constexpr size_t kLimit = 3;
  PeerUsage usage;
  std::atomic<size_t> held{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int step = 0; step < 5000; ++step) {
        const PeerUsage::Share share = usage.AddConnection(kClient, kLimit);
        if (!share) continue;
        if (++held > kLimit) exceeded = true;
        --held;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(usage.peers(), 0u);
}

}  // namespace
}  // namespace byrnie
