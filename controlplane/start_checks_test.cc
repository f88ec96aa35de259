#include "controlplane/start_checks.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/tcp_listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(StartChecksTest, APortThatIsTakenIsNamedWithItsFlag) {
  ManualEventLoop loop;
  const SocketAddress any = *SocketAddress::Parse("127.0.0.1:0");
  const auto listener = TcpListener::Create(&loop, any, {}, [](std::unique_ptr<TcpStream>) {});
  ASSERT_THAT(listener, IsOk());
  EXPECT_THAT(CheckPortsAreFree(&loop, {{"listen", any}}), IsOk());
  const absl::Status taken =
      CheckPortsAreFree(&loop, {{"listen", any}, {"admin", (*listener)->address()}});
  EXPECT_FALSE(taken.ok());
  EXPECT_THAT(std::string(taken.message()), StartsWith("--admin: "));
}

TEST(StartChecksTest, FilesThatWouldBeMade) {
  const std::string there = absl::StrCat(::testing::TempDir(), "start_checks_there");
  const std::string absent = absl::StrCat(::testing::TempDir(), "start_checks_absent");
  ASSERT_THAT(WriteFileAtomically(there, "x", 0600), IsOk());
  EXPECT_THAT(*CheckOutputs({{"a", there}, {"b", absent}, {"c", ""}, {"d", "in_this_folder"}}),
              ElementsAre(absent, "in_this_folder"));
  EXPECT_THAT(
      CheckOutputs({{"a", there}, {"b", absl::StrCat(absent, "/x")}}).status(),
      StatusIs(absl::StatusCode::kNotFound, AllOf(StartsWith("--b: "), HasSubstr("make it"))));
}

TEST(StartChecksTest, TracesAreFilesThatHoldSomething) {
  const std::string full = absl::StrCat(::testing::TempDir(), "start_checks_full");
  const std::string empty = absl::StrCat(::testing::TempDir(), "start_checks_empty");
  ASSERT_THAT(WriteFileAtomically(full, "x", 0600), IsOk());
  ASSERT_THAT(WriteFileAtomically(empty, "", 0600), IsOk());
  EXPECT_THAT(TracesOf({{"a", empty}, {"b", ""}, {"c", absl::StrCat(full, "_not")}}), IsEmpty());
  EXPECT_THAT(TracesOf({{"a", full}}),
              ElementsAre(absl::StrCat("the file of --a, ", full, ", is there")));
}

}  // namespace
}  // namespace byrnie
