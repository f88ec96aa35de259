#include "ctl/listener_uid.h"

#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr char kTable[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 7\n"
    "   1: 00000000:3AAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1338        0 8\n"
    "   2: 0100007F:1F90 0100007F:3A98 01 00000000:00000000 00:00000000 00000000  1000        0 "
    "9\n";

absl::optional<uid_t> Find(const std::string& table, const std::string& address) {
  return FindListener(table, *SocketAddress::Parse(address));
}

TEST(ListenerUidTest, TheUserOfTheSocketThatListens) {
  EXPECT_EQ(Find(kTable, "127.0.0.1:15000"), 1337u);
  EXPECT_EQ(Find(kTable, "10.0.0.1:15020"), 1338u);
}

TEST(ListenerUidTest, AConnectionIsNoListener) {
  EXPECT_EQ(Find(kTable, "127.0.0.1:8080"), absl::nullopt);
  EXPECT_EQ(Find(kTable, "127.0.0.2:15000"), absl::nullopt);
  EXPECT_EQ(Find(kTable, "[::1]:15000"), absl::nullopt);
}

TEST(ListenerUidTest, ATableThatIsNoneSaysNothing) {
  EXPECT_EQ(Find("", "127.0.0.1:15000"), absl::nullopt);
  EXPECT_EQ(Find("0: 0100007F:3A98 00000000:0000 0A", "127.0.0.1:15000"), absl::nullopt);
  EXPECT_EQ(Find("0: 0100007F:3A98 x 0A x x x uid", "127.0.0.1:15000"), absl::nullopt);
}

}  // namespace
}  // namespace byrnie
