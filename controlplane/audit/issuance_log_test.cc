#include "controlplane/audit/issuance_log.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/audit/testing/memory_issuance_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class IssuanceLogTest : public ::testing::Test {
 protected:
  IssuanceLogTest() { Start({}); }
  void Start(IssuanceLog::Options options) {
    log_ = nullptr;
    metrics_ = std::make_unique<MetricRegistry>();
    log_ = std::make_unique<IssuanceLog>(&store_, options, &clock_, &logger_, metrics_.get());
  }
  IssuanceRecord Record(int number, std::string identity = "spiffe://cluster.local/a") const {
    IssuanceRecord record;
    record.issued_at = clock_.WallNow() + absl::Seconds(number);
    record.serial = absl::StrCat(number);
    record.identity = std::move(identity);
    record.not_after = record.issued_at + absl::Hours(1);
    return record;
  }
  std::vector<std::string> Serials(const IssuanceLog::Query& query) {
    auto page = log_->Read(query);
    EXPECT_THAT(page, IsOk());
    std::vector<std::string> serials;
    for (const IssuanceRecord& record : page->records) serials.push_back(record.serial);
    return serials;
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MemoryIssuanceStore store_;
  std::unique_ptr<MetricRegistry> metrics_;
  std::unique_ptr<IssuanceLog> log_;
};

TEST_F(IssuanceLogTest, WhatWasAppendedIsThere) {
  log_->Append(Record(1));
  EXPECT_EQ(store_.size(), 1u);
  log_->Append(Record(2));
  EXPECT_THAT(Serials({}), ElementsAre("1", "2"));
}

TEST_F(IssuanceLogTest, ManyCallersShareAWrite) {
  store_.Hold(true);
  std::vector<std::thread> callers;
  for (int i = 0; i < 64; ++i) {
    callers.emplace_back([this, i] { log_->Append(Record(i)); });
  }
  store_.Hold(false);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(store_.size(), 64u);
  EXPECT_LE(store_.appends(), 64);
}

TEST_F(IssuanceLogTest, AStoreThatIsDownKeepsNobodyFromACertificate) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  for (int i = 0; i < 300; ++i) log_->Append(Record(i));
  EXPECT_EQ(store_.size(), 0u);
  store_.FailWith(absl::OkStatus());
  log_ = nullptr;  // Writes what is pending.
  EXPECT_EQ(store_.size(), 300u);
}

// So that whoever has read that time already knows to read it again.
TEST_F(IssuanceLogTest, CountsWhenItWroteLate) {
  log_->Append(Record(1));
  EXPECT_EQ(log_->LateWrites(), 0u);
  store_.FailWith(absl::UnavailableError("disk on fire"));
  log_->Append(Record(2));
  EXPECT_EQ(log_->LateWrites(), absl::nullopt);
  store_.FailWith(absl::OkStatus());
  while (!log_->LateWrites().has_value()) std::this_thread::yield();
  EXPECT_EQ(store_.size(), 2u);
  EXPECT_EQ(log_->LateWrites(), 1u);
}

TEST_F(IssuanceLogTest, KeepsWhatIsYoungHoweverMuchThereIs) {
  Start({absl::Hours(1), 5, absl::Hours(2)});
  for (int i = 1; i <= 9; ++i) log_->Append(Record(i));
  clock_.Advance(absl::Minutes(90));
  log_->Append(Record(10));
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 10u);
}

TEST_F(IssuanceLogTest, EndsWithAStoreThatIsDown) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  log_->Append(Record(1));
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 0u);
}

TEST_F(IssuanceLogTest, ReadsPageByPageByIdentityAndTime) {
  for (int i = 1; i <= 9; ++i) {
    log_->Append(Record(i, i % 3 == 0 ? "spiffe://cluster.local/b" : "spiffe://cluster.local/a"));
  }
  IssuanceLog::Query query;
  query.limit = 4;
  std::vector<std::string> all;
  do {
    auto page = log_->Read(query);
    ASSERT_THAT(page, IsOk());
    for (const IssuanceRecord& record : page->records) all.push_back(record.serial);
    query.page_token = page->next;
  } while (!query.page_token.empty());
  EXPECT_THAT(all, SizeIs(9));
  query = {};
  query.identity = "spiffe://cluster.local/b";
  EXPECT_THAT(Serials(query), ElementsAre("3", "6", "9"));
  query.since = clock_.WallNow() + absl::Seconds(6);
  query.until = clock_.WallNow() + absl::Seconds(9);
  EXPECT_THAT(Serials(query), ElementsAre("6"));
  query = {};
  query.serial = "7";
  EXPECT_THAT(Serials(query), ElementsAre("7"));
  query.serial = "77";
  EXPECT_THAT(Serials(query), IsEmpty());
  query.limit = 0;
  EXPECT_THAT(log_->Read(query), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(IssuanceLogTest, KeepsNoMoreThanItShould) {
  Start({absl::Hours(1), 5});
  for (int i = 1; i <= 9; ++i) log_->Append(Record(i));
  clock_.Advance(absl::Minutes(11));
  log_->Append(Record(10));
  log_ = nullptr;
  // One may have been written after the latest look.
  EXPECT_GE(store_.size(), 5u);
  EXPECT_LE(store_.size(), 6u);
  Start({absl::Hours(1), 5});
  clock_.Advance(absl::Hours(2));
  log_->Append(Record(11));
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 1u);
}

TEST_F(IssuanceLogTest, TellsEverythingSinceATime) {
  for (int i = 1; i <= 9; ++i) log_->Append(Record(i));
  int seen = 0;
  EXPECT_THAT(log_->ForEachSince(clock_.WallNow() + absl::Seconds(5),
                                 [&](const IssuanceRecord&) { ++seen; }),
              IsOk());
  EXPECT_EQ(seen, 5);
}

}  // namespace
}  // namespace byrnie
