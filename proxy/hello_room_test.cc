#include "proxy/hello_room.h"

#include "absl/types/optional.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

TEST(HelloRoom, OneSourceHasNoMoreThanHalf) {
  Gauge shown;
  HelloRoom room(&shown);
  HelloRoom::Part one(&room, Ip("10.0.0.1"));
  HelloRoom::Part two(&room, Ip("10.0.0.1"));
  EXPECT_TRUE(one.Grow(HelloRoom::kPerSource - 1));
  EXPECT_TRUE(two.Grow(1));
  EXPECT_FALSE(one.Grow(1));
  EXPECT_FALSE(two.Grow(1));
  HelloRoom::Part other(&room, Ip("10.0.0.2"));
  EXPECT_TRUE(other.Grow(HelloRoom::kPerSource));
  EXPECT_EQ(room.used(), HelloRoom::kAll);
}

TEST(HelloRoom, AllHaveNoMoreThanThereIs) {
  Gauge shown;
  HelloRoom room(&shown);
  HelloRoom::Part one(&room, Ip("10.0.0.1"));
  HelloRoom::Part two(&room, Ip("10.0.0.2"));
  HelloRoom::Part three(&room, Ip("10.0.0.3"));
  EXPECT_TRUE(one.Grow(HelloRoom::kPerSource));
  EXPECT_TRUE(two.Grow(HelloRoom::kPerSource));
  EXPECT_FALSE(three.Grow(1));
}

TEST(HelloRoom, TheAddressesOfOneIpv6HostAreOneSource) {
  Gauge shown;
  HelloRoom room(&shown);
  HelloRoom::Part one(&room, Ip("fd00:1::1"));
  EXPECT_TRUE(one.Grow(HelloRoom::kPerSource));
  HelloRoom::Part two(&room, Ip("fd00:1::2"));
  EXPECT_FALSE(two.Grow(1));
  HelloRoom::Part other(&room, Ip("fd00:1:0:1::2"));
  EXPECT_TRUE(other.Grow(1));
}

TEST(HelloRoom, WhatIsOverIsGivenBack) {
  Gauge shown;
  HelloRoom room(&shown);
  absl::optional<HelloRoom::Part> part;
  part.emplace(&room, Ip("10.0.0.1"));
  EXPECT_TRUE(part->Grow(1000));
  EXPECT_TRUE(part->Grow(HelloRoom::kPerSource - 1000));
  EXPECT_FALSE(part->Grow(1));
  part.reset();
  EXPECT_EQ(room.used(), 0u);
  part.emplace(&room, Ip("10.0.0.1"));
  EXPECT_TRUE(part->Grow(HelloRoom::kPerSource));
}

}  // namespace
}  // namespace byrnie
