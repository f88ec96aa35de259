#include "controlplane/trust/bundle_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class BundleFileTest : public ::testing::Test {
 protected:
  BundleFileTest() { ::unlink(path_.c_str()); }
  ~BundleFileTest() override {
    ::unlink(path_.c_str());
    ::rmdir(path_.c_str());
  }
  std::string Content() const { return ReadFile(path_, 1 << 20).value_or("nothing"); }
  // The current root and another one.
  AuthoritySnapshotPtr WithNext() {
    auto both = std::make_shared<AuthoritySnapshot>(*first_);
    both->roots.push_back(next_->roots[0]);
    return both;
  }
  std::string next_id() const { return next_->roots[0]->FingerprintHex(); }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  const std::string path_ =
      absl::StrCat(::testing::TempDir(), "bundle_file_",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  const AuthoritySnapshotPtr first_ = SelfSigned("td", clock_.WallNow());
  const AuthoritySnapshotPtr next_ = SelfSigned("td", clock_.WallNow());
  Authority authority_{first_, &clock_};
  BundleFile file_{path_, &authority_, &clock_, &logger_};
};

TEST_F(BundleFileTest, HasTheRootsFromTheStartOn) {
  EXPECT_THAT(file_.Write(), IsOk());
  EXPECT_EQ(Content(), RootsPem(*first_));
  EXPECT_THAT(file_.state(), IsOk());
  EXPECT_EQ(file_.WhyWithout(""), "");
  EXPECT_EQ(file_.WhyWithout(first_->roots[0]->FingerprintHex()), "");
  EXPECT_THAT(file_.WhyWithout(next_id()),
              AllOf(HasSubstr("has not written the next root"), HasSubstr(path_)));
}

TEST_F(BundleFileTest, FollowsTheRootsAtOnce) {
  ASSERT_THAT(file_.Write(), IsOk());
  authority_.Publish(WithNext());
  EXPECT_NE(file_.WhyWithout(next_id()), "");
  file_.Keep();
  EXPECT_EQ(Content(), RootsPem(*WithNext()));
  EXPECT_EQ(file_.WhyWithout(next_id()), "");
}

TEST_F(BundleFileTest, IsTriedAgainUntilItIsWritten) {
  ASSERT_THAT(file_.Write(), IsOk());
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  ASSERT_EQ(::mkdir(path_.c_str(), 0700), 0);
  authority_.Publish(WithNext());
  file_.Keep();
  EXPECT_EQ(file_.state().message(),
            absl::StrCat("cannot write --trust_bundle_out ", path_, ": Is a directory"));
  EXPECT_EQ(file_.WhyWithout(next_id()), file_.state().message());
  ASSERT_EQ(::rmdir(path_.c_str()), 0);
  // Not at every turn.
  file_.Keep();
  EXPECT_EQ(Content(), "nothing");
  clock_.Advance(BundleFile::kInterval);
  file_.Keep();
  EXPECT_EQ(Content(), RootsPem(*WithNext()));
  EXPECT_THAT(file_.state(), IsOk());
  EXPECT_EQ(file_.WhyWithout(next_id()), "");
}

TEST_F(BundleFileTest, IsPutBackWhereItIsGoneOrAnotherOne) {
  ASSERT_THAT(file_.Write(), IsOk());
  for (const std::string& other : {std::string(), std::string("x"), RootsPem(*next_)}) {
    ASSERT_THAT(WriteFileAtomically(path_, other, 0644), IsOk());
    clock_.Advance(BundleFile::kInterval);
    file_.Keep();
    EXPECT_EQ(Content(), RootsPem(*first_));
  }
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  clock_.Advance(BundleFile::kInterval);
  file_.Keep();
  EXPECT_EQ(Content(), RootsPem(*first_));
}

// As another control plane does that has the same path and other roots.
TEST_F(BundleFileTest, IsNotFoughtForWithSomebodyElseWhoWritesItToo) {
  ASSERT_THAT(file_.Write(), IsOk());
  const auto overwrite = [&](absl::Duration later) {
    ASSERT_THAT(WriteFileAtomically(path_, RootsPem(*next_), 0644), IsOk());
    clock_.Advance(later);
    file_.Keep();
    EXPECT_EQ(Content(), RootsPem(*first_));
  };
  for (int i = 0; i < BundleFile::kAccidents; ++i) {
    overwrite(BundleFile::kInterval);
    EXPECT_THAT(file_.state(), IsOk());
  }
  overwrite(BundleFile::kInterval);
  const auto is_contested = StatusIs(absl::StatusCode::kFailedPrecondition,
                                     absl::StrCat("somebody else writes --trust_bundle_out ", path_,
                                                  ": give each control plane a path of its own"));
  EXPECT_THAT(file_.state(), is_contested);
  EXPECT_EQ(file_.WhyWithout(first_->roots[0]->FingerprintHex()), file_.state().message());
  // Now at its leisure.
  ASSERT_THAT(WriteFileAtomically(path_, RootsPem(*next_), 0644), IsOk());
  clock_.Advance(BundleFile::kInterval);
  file_.Keep();
  EXPECT_EQ(Content(), RootsPem(*next_));
  overwrite(BundleFile::kContestedInterval);
  EXPECT_THAT(file_.state(), is_contested);
  // The other one has ended.
  clock_.Advance(BundleFile::kContestedInterval);
  file_.Keep();
  EXPECT_THAT(file_.state(), is_contested);
  clock_.Advance(BundleFile::kUndisturbed);
  file_.Keep();
  EXPECT_THAT(file_.state(), IsOk());
  EXPECT_EQ(Content(), RootsPem(*first_));
  overwrite(BundleFile::kInterval);
  EXPECT_THAT(file_.state(), IsOk());
}

// Who has put another one there once does so no more, however long it cannot be replaced.
TEST_F(BundleFileTest, AnotherOneThatCannotBeReplacedIsCountedOnce) {
  // So long a name has no room for that of the file beside it, which is to take its place.
  const std::string path = absl::StrCat(::testing::TempDir(), "/", std::string(250, 'b'));
  BundleFile file(path, &authority_, &clock_, &logger_);
  std::ofstream(path) << RootsPem(*first_);
  ASSERT_THAT(file.Write(), IsOk());
  std::ofstream(path) << RootsPem(*next_);
  for (int i = 0; i < 2 * BundleFile::kAccidents; ++i) {
    clock_.Advance(BundleFile::kInterval);
    file.Keep();
    EXPECT_THAT(std::string(file.state().message()), HasSubstr("cannot write"));
  }
  std::ofstream(path) << RootsPem(*first_);
  clock_.Advance(BundleFile::kInterval);
  file.Keep();
  EXPECT_THAT(file.state(), IsOk());
  ::unlink(path.c_str());
}

TEST_F(BundleFileTest, BothOfTwoWhoWriteItSayIt) {
  Authority others{next_, &clock_};
  BundleFile other(path_, &others, &clock_, &logger_);
  ASSERT_THAT(file_.Write(), IsOk());
  ASSERT_THAT(other.Write(), IsOk());
  // The one that has found it out first leaves it to the other for a while.
  for (absl::Duration passed; passed < absl::Minutes(2); passed += BundleFile::kInterval) {
    clock_.Advance(BundleFile::kInterval);
    file_.Keep();
    other.Keep();
  }
  EXPECT_THAT(file_.state(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(other.state(), StatusIs(absl::StatusCode::kFailedPrecondition));
  // And either comes back by itself.
  for (absl::Duration passed; passed < absl::Minutes(1); passed += BundleFile::kInterval) {
    clock_.Advance(BundleFile::kInterval);
    file_.Keep();
  }
  EXPECT_THAT(file_.state(), IsOk());
  EXPECT_EQ(Content(), RootsPem(*first_));
}

// What a move to another root makes of it is no other's.
TEST_F(BundleFileTest, OfReplicasWithOneFileTheLaterOneIsNoFight) {
  Authority same{first_, &clock_};
  BundleFile replica(path_, &same, &clock_, &logger_);
  ASSERT_THAT(file_.Write(), IsOk());
  ASSERT_THAT(replica.Write(), IsOk());
  authority_.Publish(WithNext());
  file_.Keep();
  clock_.Advance(BundleFile::kInterval);
  replica.Keep();
  same.Publish(WithNext());
  replica.Keep();
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(BundleFile::kInterval);
    file_.Keep();
    replica.Keep();
    EXPECT_THAT(file_.state(), IsOk());
    EXPECT_THAT(replica.state(), IsOk());
  }
  EXPECT_EQ(Content(), RootsPem(*WithNext()));
}

TEST_F(BundleFileTest, IsLeftAloneWhereItIsAsItShouldBe) {
  ASSERT_THAT(file_.Write(), IsOk());
  struct stat before, after;
  ASSERT_EQ(::stat(path_.c_str(), &before), 0);
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(BundleFile::kInterval);
    file_.Keep();
  }
  BundleFile again(path_, &authority_, &clock_, &logger_);
  ASSERT_THAT(again.Write(), IsOk());
  ASSERT_EQ(::stat(path_.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

}  // namespace
}  // namespace byrnie
