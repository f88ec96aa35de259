#include "proxy/flow_map.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/net/socket_address.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

FlowKeyView KeyOf(absl::string_view peer, uint16_t port = 80) {
  FlowKeyView key;
  key.peer = peer;
  key.destination = SocketAddress(*IpAddress::Parse("10.0.0.1"), port);
  return key;
}

TEST(FlowMapTest, AnEdgeIsWhatIsAlikeInEveryPart) {
  FlowMap map(64 * 1024);
  FlowMap::Entry* const first = map.Touch(KeyOf("spiffe://a/b"));
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(map.Touch(KeyOf("spiffe://a/b")), first);

  FlowKeyView other = KeyOf("spiffe://a/b");
  other.verdict = AccessRecord::Result::kDenied;
  EXPECT_NE(map.Touch(other), first);
  other = KeyOf("spiffe://a/b");
  other.path = FlowKeyView::Path::kProbe;
  EXPECT_NE(map.Touch(other), first);
  other = KeyOf("spiffe://a/b");
  other.service = "demo/server";
  EXPECT_NE(map.Touch(other), first);
  other = KeyOf("spiffe://a/b");
  other.source_network = *IpAddress::Parse("10.7.0.0");
  EXPECT_NE(map.Touch(other), first);
  EXPECT_NE(map.Touch(KeyOf("spiffe://a/b", 81)), first);
  EXPECT_NE(map.Touch(KeyOf("spiffe://a/c")), first);
  EXPECT_EQ(map.size(), 7u);
}

TEST(FlowMapTest, KeepsTheTextOfItsKeys) {
  FlowMap map(64 * 1024);
  {
    const std::string gone(100, 'x');
    map.Touch(KeyOf(gone));
  }
  EXPECT_NE(map.Find(KeyOf(std::string(100, 'x'))), nullptr);
}

TEST(FlowMapTest, StaysWithinItsBytesByDroppingWhatWasSeenLeastRecently) {
  constexpr size_t kMax = 16 * 1024;
  FlowMap map(kMax);
  for (int i = 0; i < 1000; ++i) {
    map.Touch(KeyOf("spiffe://busy"));
    ASSERT_NE(map.Touch(KeyOf(absl::StrCat("spiffe://", i))), nullptr);
    ASSERT_LE(map.bytes(), kMax);
  }
  EXPECT_GT(map.size(), 10u);
  EXPECT_NE(map.Find(KeyOf("spiffe://busy")), nullptr);
  EXPECT_NE(map.Find(KeyOf("spiffe://999")), nullptr);
  EXPECT_EQ(map.Find(KeyOf("spiffe://0")), nullptr);
  EXPECT_EQ(map.left_out(), 0u) << "what nobody had changed is no loss";
}

TEST(FlowMapTest, CountsWhatIsDroppedBeforeItWasTaken) {
  FlowMap map(2 * 1024);
  int made = 0;
  for (; map.left_out() == 0; ++made) map.Touch(KeyOf(absl::StrCat(made)))->changed = true;
  EXPECT_EQ(map.size(), static_cast<size_t>(made) - 1);
}

TEST(FlowMapTest, NeverDropsWhatIsHeld) {
  FlowMap map(2 * 1024);
  int made = 0;
  while (FlowMap::Entry* entry = map.Touch(KeyOf(absl::StrCat("held", made)))) {
    ++entry->holders;
    ++made;
  }
  EXPECT_EQ(map.left_out(), 1u);
  for (int i = 0; i < made; ++i) EXPECT_NE(map.Find(KeyOf(absl::StrCat("held", i))), nullptr);
  map.Find(KeyOf("held1"))->holders = 0;
  EXPECT_NE(map.Touch(KeyOf("more1")), nullptr);
  EXPECT_EQ(map.Find(KeyOf("held1")), nullptr);
}

TEST(FlowMapTest, ALongNameTakesMoreOfTheBytes) {
  FlowMap map(64 * 1024);
  map.Touch(KeyOf("a"));
  const size_t one = map.bytes();
  map.Touch(KeyOf(std::string(2048, 'a')));
  EXPECT_GE(map.bytes(), 2 * one + 2047);
  map.Erase(map.Find(KeyOf("a")));
  map.Erase(map.Find(KeyOf(std::string(2048, 'a'))));
  EXPECT_EQ(map.bytes(), 0u);
}

}  // namespace
}  // namespace byrnie
