#include "controlplane/attest/verdict_memory.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

using Memory = VerdictMemory<std::string>;

Memory::Verdict Because(absl::string_view why) { return absl::UnavailableError(why); }

TEST(VerdictMemoryTest, RemembersAVerdictForAsLongAsItHolds) {
  Memory memory(2);
  EXPECT_EQ(memory.Find("a", kNow), nullptr);
  memory.Put("a", Because("first"), kNow + absl::Seconds(10));
  ASSERT_NE(memory.Find("a", kNow + absl::Seconds(9)), nullptr);
  EXPECT_EQ(memory.Find("a", kNow + absl::Seconds(10)), nullptr);
  // Nor is it there for whoever asks what was before.
  EXPECT_EQ(memory.Find("a", kNow), nullptr);
}

TEST(VerdictMemoryTest, KeepsTheNewestOfOneAndOfAll) {
  Memory memory(2);
  memory.Put("a", Because("first"), kNow + absl::Seconds(10));
  memory.Put("b", Because("other"), kNow + absl::Seconds(10));
  memory.Put("a", Because("second"), kNow + absl::Seconds(20));
  EXPECT_EQ(memory.Find("a", kNow)->status().message(), "second");
  memory.Put("c", Because("third"), kNow + absl::Seconds(10));
  EXPECT_EQ(memory.Find("b", kNow), nullptr);
  EXPECT_NE(memory.Find("a", kNow), nullptr);
  EXPECT_NE(memory.Find("c", kNow), nullptr);
  memory.Forget("a");
  memory.Forget("unknown");
  EXPECT_EQ(memory.Find("a", kNow), nullptr);
}

}  // namespace
}  // namespace byrnie
