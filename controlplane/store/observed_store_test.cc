#include "controlplane/store/observed_store.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr char kFailures[] = "byrnie_controlplane_store_failures_total";

class ObservedStoreTest : public ::testing::Test {
 protected:
  ~ObservedStoreTest() override { close(log_fd_); }

  absl::Status AddToken(char fill) {
    return store_.AddJoinToken(
        {std::string(32, fill), "spiffe://cluster.local/x", clock_.WallNow() + absl::Minutes(1)},
        clock_.WallNow());
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
  EXPECT_THAT(AddToken('a'), IsOk());
  EXPECT_THAT(store_.FindJoinToken(std::string(32, 'a'), clock_.WallNow()), IsOk());
  EXPECT_THAT(store_.ConsumeJoinToken(std::string(32, 'a'), clock_.WallNow()), IsOk());
  EXPECT_THAT(store_.SetOperatorTokenHash("hash"), IsOk());
  EXPECT_EQ(**store_.LoadOperatorTokenHash(), "hash");
  EXPECT_FALSE(store_.LoadAuthority()->has_value());
  EXPECT_EQ(Log(), "");
}

TEST_F(ObservedStoreTest, WhatTheCallerGotWrongIsNoFailure) {
  EXPECT_THAT(store_.ConsumeJoinToken(std::string(32, 'a'), clock_.WallNow()),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(AddToken('a'), IsOk());
  EXPECT_THAT(AddToken('a'), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Log(), "");
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr(absl::StrCat(kFailures, " 0")));
}

TEST_F(ObservedStoreTest, CountsEachFailureAndLogsOneAMinute) {
  memory_.FailWith(absl::UnavailableError("its disk is full"));
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(AddToken('a'), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("full")));
  }
  const std::string first = Log();
  EXPECT_THAT(first, HasSubstr("its disk is full"));
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 1);
  clock_.Advance(absl::Minutes(1));
  EXPECT_FALSE(AddToken('a').ok());
  EXPECT_THAT(Log(), HasSubstr("not_logged=9"));
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr(absl::StrCat(kFailures, " 11")));
}

}  // namespace
}  // namespace byrnie
