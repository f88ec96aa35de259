#include "controlplane/policy/address_set.h"

#include <string>
#include <vector>

#include "common/net/socket_address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Bytes(const std::string& ip) { return IpAddress::Parse(ip)->ToBytes(); }

std::vector<std::string> All(const AddressSet& set) {
  std::vector<std::string> all;
  set.ForEach([&all](const std::string& bytes) { all.push_back(bytes); });
  return all;
}

istio::security::Address Block(const std::string& ip, uint32_t length) {
  istio::security::Address block;
  block.set_address(Bytes(ip));
  block.set_length(length);
  return block;
}

TEST(AddressSetTest, HasWhatWasAddedOnceEach) {
  AddressSet one, other;
  EXPECT_TRUE(one.empty());
  EXPECT_THAT(All(one), IsEmpty());
  for (const char* ip : {"10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2"}) one.Add(Bytes(ip));
  one.Add("no address");
  other.Add(Bytes("10.0.0.3"));
  EXPECT_FALSE(other.has_v6());
  one.Add(other);
  one.Sort();
  EXPECT_EQ(one.size(), 4u);
  EXPECT_TRUE(one.has_v4());
  EXPECT_TRUE(one.has_v6());
  EXPECT_THAT(All(one), ElementsAre(Bytes("10.0.0.1"), Bytes("10.0.0.2"), Bytes("10.0.0.3"),
                                    Bytes("fd00::1")));
}

TEST(AddressSetTest, KnowsWhetherABlockHasSome) {
  AddressSet set;
  for (const char* ip : {"10.0.0.2", "10.200.0.1", "fd00::1"}) set.Add(Bytes(ip));
  set.Sort();
  EXPECT_TRUE(set.AnyIn(Block("10.0.0.2", 32)));
  EXPECT_FALSE(set.AnyIn(Block("10.0.0.3", 32)));
  EXPECT_FALSE(set.AnyIn(Block("10.0.0.1", 32)));
  EXPECT_TRUE(set.AnyIn(Block("10.0.0.3", 31)));
  EXPECT_TRUE(set.AnyIn(Block("10.200.0.0", 15)));
  EXPECT_FALSE(set.AnyIn(Block("10.201.0.0", 16)));
  EXPECT_TRUE(set.AnyIn(Block("0.0.0.0", 0)));
  EXPECT_TRUE(set.AnyIn(Block("255.0.0.0", 0)));
  EXPECT_FALSE(set.AnyIn(Block("11.0.0.0", 8)));
  EXPECT_TRUE(set.AnyIn(Block("fd00::", 64)));
  EXPECT_FALSE(set.AnyIn(Block("fd00::1:0", 112)));
  EXPECT_TRUE(set.AnyIn(Block("::", 0)));
}

}  // namespace
}  // namespace byrnie
