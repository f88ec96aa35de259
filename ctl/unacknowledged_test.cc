#include "ctl/unacknowledged.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr char kTable[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    "   0: 0A004D0A:D3A2 0B004D0A:3AA0 01 00000000:00000000 00:00000000 00000000  1337 0 1 1 0\n"
    "   1: 0A004D0A:D3A4 0C004D0A:3AA0 01 0000004F:00000000 01:00000014 00000002  1337 0 1 1 0\n"
    "   2: 0A004D0A:D3A6 0D004D0A:3AA0 02 00000001:00000000 01:00000014 00000002  1337 0 1 1 0\n"
    "   3: 0A004D0A:D3A8 0E004D0A:3AA0 04 00000001:00000000 01:00000014 00000002  1337 0 1 1 0\n";

constexpr char kTable6[] =
    "   0: 770000FD000000000000000001000000:9C40 770000FD000000000000000002000000:3AA0 01 "
    "00000010:00000000 01:00000014 00000002  1337 0 1 1 0\n";

TEST(UnacknowledgedTest, TellsDroppedPacketsFromASilentProcess) {
  EXPECT_FALSE(FindUnacknowledged(kTable, *IpAddress::Parse("10.77.0.11")));
  EXPECT_TRUE(FindUnacknowledged(kTable, *IpAddress::Parse("10.77.0.12")));
  EXPECT_TRUE(FindUnacknowledged(kTable, *IpAddress::Parse("10.77.0.13"))) << "its SYN";
  EXPECT_FALSE(FindUnacknowledged(kTable, *IpAddress::Parse("10.77.0.14"))) << "it is ending";
  EXPECT_FALSE(FindUnacknowledged(kTable, *IpAddress::Parse("10.77.0.15")));
  EXPECT_TRUE(FindUnacknowledged(kTable6, *IpAddress::Parse("fd00:77::2")));
  EXPECT_FALSE(FindUnacknowledged(kTable6, *IpAddress::Parse("fd00:77::1")));
}

TEST(UnacknowledgedTest, WhatCannotBeReadSaysNothing) {
  for (const char* const table : {"", "\n\n", "1: 2 3", "   0: x y 01 z"}) {
    EXPECT_FALSE(FindUnacknowledged(table, *IpAddress::Parse("10.77.0.11")));
  }
}

}  // namespace
}  // namespace byrnie
