#include "controlplane/ca/jwt_key_keeper.h"

#include <memory>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/store/testing/memory_store.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class JwtKeyKeeperTest : public ::testing::Test {
 protected:
  std::unique_ptr<JwtAuthority> Load() {
    auto authority = JwtAuthority::LoadOrCreate(&store_, "td", &clock_, {});
    EXPECT_THAT(authority, IsOk());
    return *std::move(authority);
  }
  // Waits for as many keys, and for the news of it.
  static bool Await(const JwtAuthority& authority, JwtKeyKeeper* keeper, size_t keys) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    bool changed = false;
    while (absl::Now() < deadline) {
      changed = keeper->TakeChanged() || changed;
      if (changed && authority.PublicKeys().size() == keys) return true;
      std::this_thread::yield();
    }
    return false;
  }

  FakeClock clock_;
  MemoryStore store_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
};

TEST_F(JwtKeyKeeperTest, MakesTheNextKeyWhenItIsTime) {
  const auto authority = Load();
  JwtKeyKeeper keeper(authority.get(), &store_, &logger_);
  EXPECT_TRUE(keeper.leading());
  clock_.Advance(absl::Hours(24));
  EXPECT_TRUE(Await(*authority, &keeper, 2));
}

TEST_F(JwtKeyKeeperTest, TakesInAKeyOfAnother) {
  const auto authority = Load();
  const auto other = Load();
  JwtKeyKeeper keeper(authority.get(), &store_, &logger_);
  clock_.Advance(absl::Hours(24));
  ASSERT_THAT(other->RotateIfDue(), IsOk());
  EXPECT_TRUE(Await(*authority, &keeper, 2));
  EXPECT_EQ(authority->PublicKeys(), other->PublicKeys());
}

}  // namespace
}  // namespace byrnie
