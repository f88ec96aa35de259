#include "controlplane/policy/match_sets.h"

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

istio::security::Address Block(const std::string& cidr) {
  const size_t slash = cidr.find('/');
  uint32_t length = 0;
  EXPECT_TRUE(absl::SimpleAtoi(cidr.substr(slash + 1), &length));
  istio::security::Address block;
  block.set_address(IpAddress::Parse(cidr.substr(0, slash))->ToBytes());
  block.set_length(length);
  return block;
}

AddressBlocks Blocks(const std::vector<std::string>& cidrs) {
  AddressBlocks blocks;
  for (const std::string& cidr : cidrs) *blocks.Add() = Block(cidr);
  return blocks;
}

StringMatches Of(const std::string& kind, const std::string& text) {
  StringMatches matches;
  auto* const match = matches.Add();
  if (kind == "exact") match->set_exact(text);
  if (kind == "prefix") match->set_prefix(text);
  if (kind == "suffix") match->set_suffix(text);
  if (kind == "presence") match->mutable_presence();
  return matches;
}

TEST(MatchSetsTest, ABlockIsCoveredByALargerOneOrByItsParts) {
  EXPECT_TRUE(Covers(Blocks({"10.0.0.0/8"}), Block("10.1.0.0/16")));
  EXPECT_TRUE(Covers(Blocks({"10.0.0.0/9", "10.128.0.0/9"}), Block("10.0.0.0/8")));
  EXPECT_TRUE(Covers(Blocks({"10.0.0.3/32", "10.0.0.0/31", "10.0.0.2/32"}), Block("10.0.0.0/30")));
  EXPECT_FALSE(Covers(Blocks({"10.0.0.3/32", "10.0.0.0/31"}), Block("10.0.0.0/30")));
  EXPECT_FALSE(Covers(Blocks({"10.1.0.0/16"}), Block("10.0.0.0/8")));
  EXPECT_FALSE(Covers(Blocks({"::/0"}), Block("10.0.0.1/32")));
  EXPECT_FALSE(Covers(Blocks({}), Block("10.0.0.1/32")));
  // What is behind the prefix says nothing.
  EXPECT_TRUE(Covers(Blocks({"10.9.9.9/8"}), Block("10.1.0.0/16")));
}

TEST(MatchSetsTest, AllAddressesAreOfBothFamilies) {
  EXPECT_TRUE(CoversAll(Blocks({"0.0.0.0/0", "::/0"})));
  EXPECT_TRUE(CoversAll(Blocks({"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"})));
  EXPECT_FALSE(CoversAll(Blocks({"0.0.0.0/0"})));
  EXPECT_FALSE(CoversAll(Blocks({"0.0.0.0/1", "128.0.0.0/2", "::/0"})));
}

TEST(MatchSetsTest, BlocksOverlapWhereOneIsInTheOther) {
  EXPECT_TRUE(Overlap(Block("10.0.0.0/8"), Block("10.1.0.0/16")));
  EXPECT_TRUE(Overlap(Block("10.1.0.0/16"), Block("10.0.0.0/8")));
  EXPECT_FALSE(Overlap(Block("10.0.0.0/9"), Block("10.128.0.0/9")));
}

TEST(MatchSetsTest, TextsAreCoveredByWhatBeginsOrEndsThem) {
  const StringMatches exact = Of("exact", "td/ns/a/sa/b"), begins = Of("prefix", "td/ns/a/"),
                      ends = Of("suffix", "/sa/b"), any = Of("presence", "");
  for (const StringMatches* wider : {&begins, &ends, &any, &exact}) {
    EXPECT_TRUE(Covers(*wider, exact[0]));
  }
  EXPECT_TRUE(Covers(Of("prefix", "td/"), begins[0]));
  EXPECT_TRUE(Covers(Of("suffix", "b"), ends[0]));
  EXPECT_TRUE(Covers(Of("prefix", ""), any[0]));
  EXPECT_FALSE(Covers(begins, ends[0]));
  EXPECT_FALSE(Covers(begins, any[0]));
  EXPECT_FALSE(Covers(exact, begins[0]));
  EXPECT_FALSE(Covers(Of("prefix", "td/ns/b/"), exact[0]));
}

}  // namespace
}  // namespace byrnie
