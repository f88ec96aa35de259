#include "controlplane/store/observed_store.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/store/testing/recording_listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr char kFailures[] = "byrnie_controlplane_store_failures_total";

class ObservedStoreTest : public ::testing::Test {
 protected:
  ~ObservedStoreTest() override { close(log_fd_); }

  absl::Status Create(const char* key) {
    return store_.Commit(StoreTransaction().RequireAbsent(key).Put(key, "value")).status();
  }
  std::string Log() const {
    std::string text(lseek(log_fd_, 0, SEEK_CUR), '\0');
    EXPECT_EQ(pread(log_fd_, &text[0], text.size(), 0), static_cast<ssize_t>(text.size()));
    return text;
  }

  const int log_fd_ = memfd_create("log", MFD_CLOEXEC);
  FakeClock clock_;
  Logger logger_{log_fd_, Logger::Format::kText, LogLevel::kInfo};
  MetricRegistry metrics_;
  MemoryStore memory_;
  ObservedStore store_{&memory_, &clock_, &logger_, &metrics_};
};

TEST_F(ObservedStoreTest, GivesWhatTheStoreGives) {
  EXPECT_THAT(Create("a"), IsOk());
  EXPECT_EQ((*store_.Get("a"))->value, "value");
  EXPECT_EQ(store_.List("", "", 10)->entries.size(), 1u);
  EXPECT_THAT(store_.Count("a"), IsOkAndHolds(1));
  RecordingListener listener;
  const std::unique_ptr<StoreWatch> watch = store_.Watch("b", &listener);
  EXPECT_THAT(Create("b"), IsOk());
  EXPECT_TRUE(listener.AwaitResets(1));
  EXPECT_TRUE(store_.Campaign("keeper")->Leading().has_value());
  EXPECT_EQ(Log(), "");
}

TEST_F(ObservedStoreTest, AConditionThatDoesNotHoldIsNoFailure) {
  EXPECT_THAT(Create("a"), IsOk());
  EXPECT_THAT(Create("a"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_FALSE(store_.Get("b")->has_value());
  EXPECT_EQ(Log(), "");
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr(absl::StrCat(kFailures, " 0")));
}

TEST_F(ObservedStoreTest, CountsEachFailureAndLogsOneAMinute) {
  memory_.FailWith(absl::UnavailableError("its disk is full"));
  EXPECT_FALSE(Create("a").ok());
  EXPECT_EQ(Log(), "") << "a start says why it fails";
  store_.BeginLog();
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(Create("a"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("full")));
  }
  const std::string first = Log();
  EXPECT_THAT(first, HasSubstr("its disk is full"));
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 1);
  clock_.Advance(absl::Minutes(1));
  EXPECT_FALSE(Create("a").ok());
  EXPECT_THAT(Log(), HasSubstr("not_logged=9"));
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr(absl::StrCat(kFailures, " 12")));
}

TEST_F(ObservedStoreTest, KnowsHowReadsAndWritesGoAndSinceWhen) {
  EXPECT_THAT(store_.reads().status, IsOk());
  EXPECT_THAT(Create("a"), IsOk());
  memory_.FailWith(absl::UnavailableError("its disk is full"));
  const absl::Time began = clock_.WallNow();
  EXPECT_FALSE(Create("b").ok());
  clock_.Advance(absl::Minutes(1));
  EXPECT_FALSE(Create("b").ok());
  EXPECT_EQ(store_.writes().failing_since, began);
  EXPECT_THAT(store_.writes().status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("full")));
  EXPECT_THAT(store_.reads().status, IsOk()) << "nobody has read";
  EXPECT_FALSE(store_.Get("a").ok());
  EXPECT_EQ(store_.reads().failing_since, clock_.WallNow());
  memory_.FailWith(absl::OkStatus());
  EXPECT_THAT(Create("a"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(store_.writes().status, IsOk()) << "it could have written";
  EXPECT_EQ(store_.writes().failing_since, absl::InfiniteFuture());
}

}  // namespace
}  // namespace byrnie
