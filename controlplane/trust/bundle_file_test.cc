#include "controlplane/trust/bundle_file.h"

#include <sys/stat.h>
#include <unistd.h>

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
