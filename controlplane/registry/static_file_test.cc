#include "controlplane/registry/static_file.h"

#include <unistd.h>

#include <string>

#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StaticFileTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) {
    ASSERT_THAT(WriteFileAtomically(path_, text, 0644), IsOk());
  }
  static std::string One(const std::string& ip) {
    return "{\"workloads\":[{\"name\":\"w\",\"namespace\":\"n\",\"service_account\":\"s\","
           "\"addresses\":[\"" +
           ip + "\"]}]}";
  }
  absl::StatusOr<std::unique_ptr<StaticFile>> Create() {
    return StaticFile::Create(path_, "cluster.local", &sources_, nullptr, &logger_, &metrics_);
  }
  bool Knows(const std::string& name) {
    return !registry_.snapshot()->Resolve(ResourceType::kAddress, name).empty();
  }

  const std::string path_ = ::testing::TempDir() + "/" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name() +
                            ".json";
  Registry registry_;
  RegistrySources sources_{&registry_};
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
};

TEST_F(StaticFileTest, ReadsAReplacedFileOnceAndTellsTheListener) {
  Write(One("10.0.0.1"));
  auto file = Create();
  ASSERT_THAT(file, IsOk());
  int told = 0;
  registry_.SetListener([&told] { ++told; });
  EXPECT_FALSE((*file)->Poll());
  Write(One("10.0.0.2"));
  EXPECT_TRUE((*file)->Poll());
  EXPECT_FALSE((*file)->Poll());
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(Knows("/10.0.0.2"));
  EXPECT_FALSE(Knows("/10.0.0.1"));
}

TEST_F(StaticFileTest, AnInvalidNewFileChangesNothing) {
  Write(One("10.0.0.1"));
  auto file = Create();
  ASSERT_THAT(file, IsOk());
  Write("{\"workloads\":7}");
  EXPECT_FALSE((*file)->Poll());
  EXPECT_TRUE(Knows("/10.0.0.1"));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("byrnie_controlplane_registry_reloads_total{result=\"rejected\"} 1"));
  Write(One("10.0.0.2"));
  EXPECT_TRUE((*file)->Poll());
  EXPECT_TRUE(Knows("/10.0.0.2"));
}

TEST_F(StaticFileTest, AFileThatLosesAllItsEntriesHasToSaySo) {
  Write(One("10.0.0.1"));
  auto file = Create();
  ASSERT_THAT(file, IsOk());
  for (const char* nothing : {"{}", "{\"workloads\":[],\"services\":[],\"policies\":[]}"}) {
    Write(nothing);
    EXPECT_FALSE((*file)->Poll());
    EXPECT_TRUE(Knows("/10.0.0.1"));
    EXPECT_THAT((*file)->state(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there were some before")));
  }
  Write("{\"empty\":true}");
  EXPECT_TRUE((*file)->Poll());
  EXPECT_THAT((*file)->state(), IsOk());
  EXPECT_FALSE(Knows("/10.0.0.1"));
  // From then on there is nothing that it could have lost.
  EXPECT_FALSE((*file)->had_entries());
  Write("{}");
  EXPECT_TRUE((*file)->Poll());
  Write("{\"empty\":true," + One("10.0.0.2").substr(1));
  EXPECT_FALSE((*file)->Poll());
  EXPECT_THAT((*file)->state(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there are entries")));
  Write(One("10.0.0.2"));
  EXPECT_TRUE((*file)->Poll());
  EXPECT_TRUE(Knows("/10.0.0.2"));
}

TEST_F(StaticFileTest, AFirstFileWithoutEntriesIsTakenAsItIs) {
  Write("{}");
  auto file = Create();
  ASSERT_THAT(file, IsOk());
  EXPECT_FALSE((*file)->had_entries());
  Write("{\"policies\":[]}");
  EXPECT_TRUE((*file)->Poll());
  Write(One("10.0.0.1"));
  EXPECT_TRUE((*file)->Poll());
  EXPECT_TRUE((*file)->had_entries());
}

TEST_F(StaticFileTest, AFileThatHasLostItsEntriesWhileNobodyLookedHasToSaySo) {
  Write("{}");
  auto file = Create();
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*file)->SetHadEntries(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr(path_), HasSubstr("there were some before"),
                             HasSubstr("{\"empty\": true}"))));
  Write(One("10.0.0.1"));
  file = Create();
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*file)->SetHadEntries(), IsOk());
  Write("{}");
  EXPECT_FALSE((*file)->Poll());
  // What says so is not held to what was before.
  Write("{\"empty\":true}");
  file = Create();
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*file)->SetHadEntries(), IsOk());
  EXPECT_FALSE((*file)->had_entries());
}

TEST_F(StaticFileTest, AFileThatDisappearsChangesNothing) {
  Write(One("10.0.0.1"));
  auto file = Create();
  ASSERT_THAT(file, IsOk());
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  EXPECT_FALSE((*file)->Poll());
  EXPECT_TRUE(Knows("/10.0.0.1"));
}

TEST_F(StaticFileTest, AFirstFileThatIsBadIsAnErrorWithItsPath) {
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  Write("{");
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(path_)));
}

}  // namespace
}  // namespace byrnie
