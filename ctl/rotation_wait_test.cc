#include "ctl/rotation_wait.h"

#include <deque>
#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace v1 = byrnie::operator_::v1;

v1::Trust At(const std::string& step, const std::string& signs = "old", bool automatic = true) {
  v1::Trust trust;
  trust.set_step(step);
  trust.set_move("next");
  trust.set_automatic(automatic);
  v1::Root* const root = trust.add_roots();
  root->set_fingerprint(signs);
  root->set_signs(true);
  return trust;
}

v1::Trust KeptBack(const std::string& step, const std::string& agent) {
  v1::Trust trust = At(step);
  v1::TrustBlocker* const blocker = trust.add_blockers();
  blocker->set_agent(agent);
  blocker->set_reason("has not acknowledged");
  return trust;
}

// A control plane that answers what the test says, one after the other, the last for ever.
class RotationWaitTest : public ::testing::Test {
 protected:
  absl::StatusOr<RotationEnd> Wait(v1::Trust first, std::deque<absl::StatusOr<v1::Trust>> then,
                                   absl::Duration timeout = absl::InfiniteDuration()) {
    trust_ = std::move(first);
    RotationWait wait;
    wait.look = [&then] {
      absl::StatusOr<v1::Trust> answer = then.front();
      if (then.size() > 1) then.pop_front();
      return answer;
    };
    wait.passes = [](const absl::Status& status) { return absl::IsUnavailable(status); };
    wait.now = [this] { return now_; };
    wait.sleep = [this](absl::Duration time) { now_ += time; };
    wait.say = [this](absl::string_view line) { said_.emplace_back(line); };
    return WaitForRotation(wait, timeout, &trust_);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  v1::Trust trust_;
  std::vector<std::string> said_;
};

TEST_F(RotationWaitTest, EndsWhenTheRotationIsOverAndSaysEachStepOnce) {
  const auto end = Wait(At("prepared"), {At("prepared"), At("distributed"), At("distributed"),
                                         At("active", "new"), At("tainted", "new"), At("", "new")});
  ASSERT_THAT(end, IsOk());
  EXPECT_EQ(*end, RotationEnd::kOver);
  EXPECT_THAT(said_, ElementsAre(HasSubstr("prepared"), HasSubstr("distributed"),
                                 HasSubstr("active"), HasSubstr("tainted")));
}

TEST_F(RotationWaitTest, StepsThatWentByUnseenAreNoRollback) {
  EXPECT_EQ(*Wait(At("prepared"), {At("", "new")}), RotationEnd::kOver);
  EXPECT_EQ(*Wait(At("prepared"), {At("", "old")}), RotationEnd::kStopped);
}

TEST_F(RotationWaitTest, EndsWhenItDoesNotGoOnByItself) {
  EXPECT_EQ(*Wait(At("distributed"), {At("prepared", "old", false)}), RotationEnd::kStopped);
}

TEST_F(RotationWaitTest, NamesWhoHoldsItUpAndEndsAtTheTimeout) {
  const absl::Time start = now_;
  const auto end = Wait(At("prepared"), {KeptBack("distributed", "spiffe://a")}, absl::Minutes(5));
  ASSERT_THAT(end, IsOk());
  EXPECT_EQ(*end, RotationEnd::kHeldUp);
  EXPECT_EQ(now_ - start, absl::Minutes(5));
  EXPECT_THAT(said_, ElementsAre(HasSubstr("prepared"),
                                 HasSubstr("kept back by spiffe://a (has not acknowledged)")));
  EXPECT_EQ(trust_.blockers_size(), 1);
}

TEST_F(RotationWaitTest, OutlivesAControlPlaneThatIsAwayAndNoOtherError) {
  EXPECT_EQ(*Wait(At("active", "new"), {absl::UnavailableError("away"), At("", "new")}),
            RotationEnd::kOver);
  EXPECT_THAT(said_, ElementsAre(HasSubstr("active"), "away"));
  EXPECT_EQ(*Wait(At("active"), {absl::UnavailableError("away")}, absl::Seconds(3)),
            RotationEnd::kHeldUp);
  EXPECT_THAT(Wait(At("active"), {absl::PermissionDeniedError("no")}),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(RotationWaitTest, CountsThoseItDoesNotName) {
  v1::Trust trust = At("distributed");
  for (int i = 0; i < 5; ++i) trust.add_blockers()->set_agent("a");
  EXPECT_THAT(RotationLine(trust), HasSubstr("and 2 more"));
  EXPECT_THAT(said_, IsEmpty());
}

}  // namespace
}  // namespace byrnie
