#include "controlplane/attest/token_review.h"

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "controlplane/kubernetes/testing/fake_api_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGood[] = R"({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
  "spec": {"token": "secret"}, "status": {"authenticated": true, "audiences": ["byrnie"],
  "user": {"username": "system:serviceaccount:demo:web", "uid": "7",
    "groups": ["system:serviceaccounts"], "extra": {
      "authentication.kubernetes.io/pod-name": ["web-1"],
      "authentication.kubernetes.io/pod-uid": ["u1"],
      "authentication.kubernetes.io/node-name": ["n1"]}}}})";

TEST(TokenReviewTest, AsksForOurAudiences) {
  EXPECT_EQ(WriteTokenReview("a.b.c", {"byrnie", "x\""}),
            R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview",)"
            R"("spec":{"token":"a.b.c","audiences":["byrnie","x\""]}})");
}

TEST(TokenReviewTest, ReadsWhomTheTokenIsOf) {
  ASSERT_OK_AND_ASSIGN(TokenReview review, ParseTokenReview(kGood));
  EXPECT_TRUE(review.authenticated);
  EXPECT_THAT(review.audiences, ElementsAre("byrnie"));
  EXPECT_EQ(review.username, "system:serviceaccount:demo:web");
  EXPECT_EQ(review.pod_name, "web-1");
  EXPECT_EQ(review.pod_uid, "u1");
  EXPECT_EQ(review.node_name, "n1");
}

TEST(TokenReviewTest, IsNotAuthenticatedUnlessItSaysSo) {
  ASSERT_OK_AND_ASSIGN(TokenReview review,
                       ParseTokenReview(R"({"kind":"TokenReview","status":{"error":"bad"}})"));
  EXPECT_FALSE(review.authenticated);
  EXPECT_EQ(review.error, "bad");
}

TEST(TokenReviewTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "[]", R"({"kind":"Status","status":"Failure"})", R"({"kind":"TokenReview"})",
        R"({"kind":"TokenReview","status":{"authenticated":"yes"}})",
        R"({"kind":"TokenReview","status":{"authenticated":true,"user":{"extra":{
            "authentication.kubernetes.io/pod-uid":["a","b"]}}}})"}) {
    EXPECT_THAT(ParseTokenReview(text),
                StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("secret"))))
        << text;
  }
}

// Review() waits on a thread of its own while the test runs the loop.
class ApiTokenReviewerTest : public ::testing::Test {
 protected:
  void Review() {
    thread_ = std::thread([this] {
      result_ = reviewer_.Review("a.b.c", {"byrnie"}, loop_.WallNow() + absl::Seconds(60));
    });
    ASSERT_TRUE(loop_.RunUntil([this] { return client_.size() == 1; }));
  }
  void TearDown() override {
    if (thread_.joinable()) thread_.join();
  }
  absl::StatusOr<TokenReview> Result() {
    thread_.join();
    return *result_;
  }

  ManualEventLoop loop_;
  FakeApiClient client_;
  ApiTokenReviewer reviewer_{&client_, &loop_, loop_.clock()};
  absl::optional<absl::StatusOr<TokenReview>> result_;
  std::thread thread_;
};

TEST_F(ApiTokenReviewerTest, PostsAReview) {
  Review();
  EXPECT_EQ(client_.last().method, "POST");
  EXPECT_EQ(client_.last().target, "/apis/authentication.k8s.io/v1/tokenreviews");
  EXPECT_THAT(client_.last().body, HasSubstr(R"("token":"a.b.c")"));
  client_.Answer(201, kGood);
  ASSERT_OK_AND_ASSIGN(TokenReview review, Result());
  EXPECT_EQ(review.pod_uid, "u1");
}

TEST_F(ApiTokenReviewerTest, SaysOfNoTokenWhatIsAboutUs) {
  Review();
  client_.Answer(403, R"({"kind":"Status","message":"tokenreviews is forbidden"})");
  EXPECT_THAT(Result(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("forbidden")));
}

TEST_F(ApiTokenReviewerTest, SaysThatTheServerIsAway) {
  Review();
  client_.Fail(absl::UnauthenticatedError("wrong CA"));
  EXPECT_THAT(Result(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("wrong CA")));
}

TEST_F(ApiTokenReviewerTest, AsksNothingWithoutTime) {
  EXPECT_THAT(reviewer_.Review("a.b.c", {"byrnie"}, loop_.WallNow()),
              StatusIs(absl::StatusCode::kUnavailable));
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.size(), 0u);
}

}  // namespace
}  // namespace byrnie
