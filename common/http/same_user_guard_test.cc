#include "common/http/same_user_guard.h"

#include "absl/status/statusor.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FakeOwners final : public SocketOwners {
 public:
  absl::StatusOr<uid_t> Find(const SocketAddress& local,
                             const SocketAddress& remote) const override {
    asked_local = local;
    asked_remote = remote;
    return answer;
  }
  absl::StatusOr<uid_t> answer = absl::UnavailableError("no answer");
  mutable SocketAddress asked_local;
  mutable SocketAddress asked_remote;
};

class SameUserGuardTest : public ::testing::Test {
 protected:
  absl::Status Check() {
    HttpRequest request;
    request.peer = SocketAddress::Parse("127.0.0.1:40000").value();
    request.local = SocketAddress::Parse("127.0.0.1:15000").value();
    return guard_.Check(request);
  }
  FakeOwners owners_;
  const SameUserGuard guard_{&owners_, 1337};
};

TEST_F(SameUserGuardTest, LetsRootAndItsOwnUserIn) {
  for (const uid_t uid : {0u, 1337u}) {
    owners_.answer = uid;
    EXPECT_THAT(Check(), IsOk()) << uid;
  }
  EXPECT_EQ(owners_.asked_local.ToString(), "127.0.0.1:40000") << "seen from the client";
  EXPECT_EQ(owners_.asked_remote.ToString(), "127.0.0.1:15000");
}

TEST_F(SameUserGuardTest, RefusesOthersAndSaysWhoMay) {
  owners_.answer = 1000u;
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kPermissionDenied,
                                AllOf(HasSubstr("uid 1000"), HasSubstr("root and uid 1337"))));
}

TEST_F(SameUserGuardTest, RefusesWhoCannotBeTold) {
  owners_.answer = absl::UnavailableError("the kernel is silent");
  EXPECT_THAT(Check(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("the kernel is silent")));
}

}  // namespace
}  // namespace byrnie
