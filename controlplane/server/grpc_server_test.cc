#include "controlplane/server/grpc_server.h"

#include "gtest/gtest.h"

namespace byrnie {
namespace {

// With 26 KiB for each, measured, agents are sent away; with 40 KiB none is.
TEST(MessageMemoryTest, IsEnoughForAllAgentsThatMayBeConnected) {
  EXPECT_GE(MessageMemory(20'000), 10'000u * 40 * 1024 + 256 * 1024 * 1024);
  EXPECT_GE(MessageMemory(65'536), 65'000u * 40 * 1024 + 256 * 1024 * 1024);
}

TEST(MessageMemoryTest, HasAnEndWhereDescriptorsHaveNone) {
  EXPECT_EQ(MessageMemory(1'000'000'000), MessageMemory(65'536));
}

}  // namespace
}  // namespace byrnie
