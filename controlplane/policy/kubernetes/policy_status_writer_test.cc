#include "controlplane/policy/kubernetes/policy_status_writer.h"

#include <unistd.h>

#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

AccessPolicyStatus Accepted(int64_t generation) {
  return {true, "Accepted", "in force", generation, generation, "{}"};
}

class PolicyStatusWriterTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const AccessPolicy> Object(
      const std::string& version, int64_t generation,
      absl::optional<AccessPolicyStatus> status = absl::nullopt, const std::string& name = "p") {
    auto object = std::make_shared<AccessPolicy>();
    object->name = {"shop", name};
    object->uid = "u";
    object->resource_version = version;
    object->generation = generation;
    object->status = std::move(status);
    if (object->status.has_value()) object->since = "2020-01-01T00:00:00Z";
    return object;
  }
  void Settle() { loop_.AdvanceTime(PolicyStatusWriter::kSpread); }

  ManualEventLoop loop_;
  std::mt19937 random_{5};
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  FakeApiClient client_;
  PolicyStatusWriter writer_{&client_, &loop_, random_, &logger_, &metrics_};
};

TEST_F(PolicyStatusWriterTest, WritesOfTheVersionItHasSeen) {
  writer_.Want(Object("7", 1), Accepted(1));
  Settle();
  ASSERT_EQ(client_.size(), 1u);
  EXPECT_EQ(client_.last().method, "PATCH");
  EXPECT_EQ(client_.last().target,
            "/apis/byrnie.io/v1/namespaces/shop/accesspolicies/p/status?fieldManager=byrnie");
  EXPECT_EQ(client_.last().content_type, "application/merge-patch+json");
  EXPECT_THAT(client_.last().body, HasSubstr(R"({"metadata":{"resourceVersion":"7"},"status":{)"));
  EXPECT_THAT(client_.last().body, HasSubstr(R"("type":"Accepted","status":"True")"));
  EXPECT_THAT(client_.last().body, HasSubstr(R"("lastAccepted":{"generation":1,"spec":"{}"})"));
  client_.Answer(200, "{}");
  loop_.AdvanceTime(absl::Minutes(1));
  // The old version is on its way out.
  writer_.Want(Object("7", 1), Accepted(1));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 1u);
}

TEST_F(PolicyStatusWriterTest, WritesNothingThatIsThere) {
  writer_.Want(Object("7", 1, Accepted(1)), Accepted(1));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 0u);
}

TEST_F(PolicyStatusWriterTest, KeepsWhenItChangedLast) {
  AccessPolicyStatus other = Accepted(1);
  other.message = "in force as a dry run";
  writer_.Want(Object("7", 2, other), Accepted(2));
  Settle();
  EXPECT_THAT(client_.last().body, HasSubstr(R"("lastTransitionTime":"2020-01-01T00:00:00Z")"));
  client_.Answer(200, "{}");
  AccessPolicyStatus refused{false, "Invalid", "no", 3, 0, ""};
  writer_.Want(Object("9", 3, Accepted(2)), refused);
  Settle();
  EXPECT_THAT(client_.last().body,
              Not(HasSubstr(R"("lastTransitionTime":"2020-01-01T00:00:00Z")")));
  EXPECT_THAT(client_.last().body, HasSubstr(R"("lastAccepted":null)"));
}

TEST_F(PolicyStatusWriterTest, LetsAnotherBeFirst) {
  writer_.Want(Object("7", 1), Accepted(1));
  Settle();
  client_.Answer(409, "{}");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 1u);
  writer_.Want(Object("8", 1, Accepted(1)), Accepted(1));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 1u);
}

TEST_F(PolicyStatusWriterTest, WritesAgainWhatSomebodyElseChangedMeanwhile) {
  writer_.Want(Object("7", 1), Accepted(1));
  Settle();
  client_.Answer(409, "{}");
  // A label, perhaps.
  writer_.Want(Object("8", 1), Accepted(1));
  Settle();
  ASSERT_EQ(client_.size(), 2u);
  EXPECT_THAT(client_.last().body, HasSubstr(R"("resourceVersion":"8")"));
}

TEST_F(PolicyStatusWriterTest, DoesNotFightWithAnother) {
  AccessPolicyStatus theirs = Accepted(1);
  theirs.message = "in force, says another release";
  int version = 10;
  writer_.Want(Object(absl::StrCat(version), 1), Accepted(1));
  Settle();
  client_.Answer(200, "{}");
  absl::Duration patience = PolicyStatusWriter::kPatience;
  for (size_t written = 1; written < 15; ++written) {
    ASSERT_EQ(client_.size(), written);
    writer_.Want(Object(absl::StrCat(++version), 1, Accepted(1)), Accepted(1));
    writer_.Want(Object(absl::StrCat(++version), 1, theirs), Accepted(1));
    loop_.AdvanceTime(patience * 0.99);
    ASSERT_EQ(client_.size(), written);
    loop_.AdvanceTime(patience * 0.6);
    ASSERT_EQ(client_.size(), written + 1);
    client_.Answer(200, "{}");
    patience = std::min(2 * patience, PolicyStatusWriter::kMostPatience);
  }
  // What is new is said at once.
  writer_.Want(Object(absl::StrCat(++version), 2, theirs), Accepted(2));
  Settle();
  EXPECT_EQ(client_.size(), 16u);
}

TEST_F(PolicyStatusWriterTest, TriesAgainWhatFails) {
  writer_.Want(Object("7", 1), Accepted(1));
  Settle();
  absl::Duration wait = PolicyStatusWriter::kRetry;
  for (size_t tried = 1; tried < 10; ++tried) {
    ASSERT_EQ(client_.size(), tried);
    tried % 2 == 0 ? client_.Answer(503, "{}") : client_.Fail(absl::UnavailableError("away"));
    loop_.AdvanceTime(wait * 0.99);
    ASSERT_EQ(client_.size(), tried);
    loop_.AdvanceTime(wait * 0.6);
    wait = std::min(2 * wait, PolicyStatusWriter::kMostRetry);
  }
  client_.Answer(200, "{}");
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_EQ(client_.size(), 10u);
}

TEST_F(PolicyStatusWriterTest, LetsNoFailureHoldUpTheOthers) {
  writer_.Want(Object("7", 1, absl::nullopt, "a"), Accepted(1));
  writer_.Want(Object("8", 1, absl::nullopt, "b"), Accepted(1));
  Settle();
  ASSERT_EQ(client_.size(), 1u);
  client_.Answer(500, "{}");
  Settle();
  ASSERT_EQ(client_.size(), 2u);
  EXPECT_NE(client_.request(0).target, client_.request(1).target);
}

TEST_F(PolicyStatusWriterTest, ForgetsWhatIsGone) {
  writer_.Want(Object("7", 1), Accepted(1));
  writer_.Forget({"shop", "p"});
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 0u);
  writer_.Want(Object("7", 1), Accepted(1));
  Settle();
  writer_.Forget({"shop", "p"});
  client_.Answer(503, "{}");
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(client_.size(), 1u);
}

}  // namespace
}  // namespace byrnie
