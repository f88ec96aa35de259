#include "controlplane/webhook/injector_file.h"

#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class InjectorFileTest : public ::testing::Test {
 protected:
  InjectorFileTest() { base_.trust_domain = "example.org"; }

  void Write(const std::string& text) {
    ASSERT_THAT(WriteFileAtomically(path_, text, 0600), IsOk());
  }
  absl::StatusOr<std::unique_ptr<InjectorFile>> Open(const std::string& path,
                                                     bool publishes_roots = false) {
    return InjectorFile::Create(path, base_, publishes_roots, &logger_, &metrics_);
  }

  const std::string path_ = absl::StrCat(::testing::TempDir(), "/injector.json");
  InjectorConfig base_;
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
};

TEST_F(InjectorFileTest, SaysWhatTheFileSaysAndElseTheControlPlanesOwn) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<InjectorFile> none, Open(""));
  EXPECT_EQ(none->config()->trust_domain, "example.org");
  EXPECT_FALSE(none->Poll());
  EXPECT_EQ(none->digest(), "");
  Write(R"({"image": "a:1"})");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<InjectorFile> file, Open(path_));
  EXPECT_EQ(file->config()->image, "a:1");
  EXPECT_EQ(file->config()->trust_domain, "example.org");
}

TEST_F(InjectorFileTest, FollowsTheFileAndKeepsWhatWasGood) {
  Write(R"({"image": "a:1"})");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<InjectorFile> file, Open(path_));
  EXPECT_FALSE(file->Poll());
  const std::string before = file->digest();
  Write(R"({"image": "a:2"})");
  EXPECT_TRUE(file->Poll());
  EXPECT_EQ(file->config()->image, "a:2");
  const std::string digest = file->digest();
  EXPECT_NE(digest, before);
  Write("{");
  EXPECT_FALSE(file->Poll());
  EXPECT_FALSE(file->Poll());
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_FALSE(file->Poll());
  EXPECT_EQ(file->config()->image, "a:2");
  EXPECT_EQ(file->digest(), digest);
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              AllOf(HasSubstr("injector_config_reads_total{result=\"ok\"} 1\n"),
                    HasSubstr("injector_config_reads_total{result=\"rejected\"} 2\n")));
}

TEST_F(InjectorFileTest, RefusesAnotherMeshAndWhatItCannotRead) {
  Write(R"({"trust_domain": "other"})");
  EXPECT_THAT(Open(path_).status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr("--injector_config"), HasSubstr(path_),
                                                   HasSubstr("\"other\""))));
  EXPECT_THAT(Open(path_ + ".none").status(), StatusIs(absl::StatusCode::kNotFound));
}

// Each of these would keep all new pods of the mesh from starting.
TEST_F(InjectorFileTest, KeepsWhatWasGoodWhereNoPodCouldStart) {
  Write(R"({"image": "a:1", "revision": "one"})");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<InjectorFile> file, Open(path_));
  for (const char* const wrong :
       {R"({"revision": "."})", R"({"control_plane": "foo"})", R"({"image": "a//b"})",
        R"({"trust_bundle_config_map": "Foo"})"}) {
    Write(wrong);
    EXPECT_FALSE(file->Poll()) << wrong;
    EXPECT_THAT(file->state(), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
    EXPECT_EQ(file->config()->revision, "one");
  }
}

TEST_F(InjectorFileTest, LeadsPodsToNoConfigMapThatNobodyWrites) {
  Write(R"({"trust_bundle_config_map": "roots"})");
  EXPECT_THAT(Open(path_, /*publishes_roots=*/true).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("trust_bundle_config_map"), HasSubstr("\"roots\""),
                             HasSubstr("\"byrnie-trust-bundle\""))));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<InjectorFile> elsewhere, Open(path_));
  EXPECT_EQ(elsewhere->config()->trust_bundle_config_map, "roots");
}

}  // namespace
}  // namespace byrnie
