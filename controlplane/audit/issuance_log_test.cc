#include "controlplane/audit/issuance_log.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/audit/issuance_spool.h"
#include "controlplane/audit/memory_spool.h"
#include "controlplane/audit/testing/memory_issuance_store.h"
#include "controlplane/audit/testing/some_issuance.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A spool that outlives its log, as a file does, and fails on demand.
class LastingSpool final : public IssuanceSpool {
 public:
  absl::Status Append(const std::vector<IssuanceRecord>& records) override {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(failure_);
    return memory_.Append(records);
  }
  absl::StatusOr<Batch> Oldest() override {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(failure_);
    return memory_.Oldest();
  }
  absl::Status Remove(const Batch& batch) override {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(failure_);
    return memory_.Remove(batch);
  }
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mu_);
    failure_ = std::move(status);
  }
  // Of the oldest.
  std::vector<std::string> Serials() {
    std::vector<std::string> serials;
    const Batch oldest = *memory_.Oldest();
    for (const IssuanceRecord& record : oldest.records) serials.push_back(record.serial);
    return serials;
  }

 private:
  MetricRegistry metrics_;
  absl::Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  MemorySpool memory_{metrics_.AddCounter("dropped", "")};
};

class IssuanceLogTest : public ::testing::Test {
 protected:
  IssuanceLogTest() { Start({}); }
  void Start(IssuanceLog::Options options, IssuanceSpool* spool = nullptr) {
    log_ = nullptr;
    metrics_ = std::make_unique<MetricRegistry>();
    log_ =
        std::make_unique<IssuanceLog>(&store_, spool, options, &clock_, &logger_, metrics_.get());
  }
  void Append(int number) { EXPECT_THAT(log_->Append(Record(number)), IsOk()); }
  IssuanceRecord Record(int number, std::string identity = "spiffe://cluster.local/a") const {
    IssuanceRecord record =
        SomeIssuance(clock_.WallNow() + absl::Seconds(number), absl::StrCat(number));
    record.identity = std::move(identity);
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
  LastingSpool spool_;
  std::unique_ptr<MetricRegistry> metrics_;
  std::unique_ptr<IssuanceLog> log_;
};

TEST_F(IssuanceLogTest, WhatWasAppendedIsThere) {
  Append(1);
  EXPECT_EQ(store_.size(), 1u);
  Append(2);
  EXPECT_THAT(Serials({}), ElementsAre("1", "2"));
}

// A log that was not trimmed for a while is not full for good, also where nothing is issued.
TEST_F(IssuanceLogTest, ThousandsThatAreTooOldGoAtOnceAlsoWhenNothingIsIssued) {
  log_ = nullptr;
  for (int i = 0; i < 200; ++i) {
    std::vector<IssuanceRecord> records;
    for (int j = 0; j < 100; ++j) records.push_back(Record(i * 100 + j));
    ASSERT_THAT(store_.Append(records), IsOk());
  }
  clock_.Advance(absl::Hours(24 * 31));
  ASSERT_THAT(store_.Append({Record(1)}), IsOk());
  Start({});
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (store_.size() > 1 && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(store_.size(), 1u);
}

// One who asks for thousands is not to be able to push out what others did unseen.
TEST_F(IssuanceLogTest, SaysHowFarItsSizeHasCutIntoItsAge) {
  IssuanceLog::Options options;
  options.keep_most = 10;
  Start(options);
  EXPECT_EQ(log_->backlog().cut_to, absl::nullopt);
  log_ = nullptr;
  std::vector<IssuanceRecord> records;
  for (int i = 1; i <= 25; ++i) records.push_back(Record(i));
  ASSERT_THAT(store_.Append(records), IsOk());
  const absl::Time began = clock_.WallNow();
  clock_.Advance(absl::Hours(1));
  Start(options);
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!log_->backlog().cut_to.has_value() && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(store_.size(), 10u);
  EXPECT_EQ(log_->backlog().cut_to, began + absl::Seconds(15));
  // The next process, which has deleted nothing itself, sees it by the oldest.
  Start(options);
  while (!log_->backlog().cut_to.has_value() && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(log_->backlog().cut_to, began + absl::Seconds(16));
  // Once it is older than all that is kept, nothing is missing.
  clock_.Advance(options.keep_for);
  EXPECT_EQ(log_->backlog().cut_to, absl::nullopt);
}

TEST_F(IssuanceLogTest, ManyCallersShareAWrite) {
  store_.Hold(true);
  std::vector<std::thread> callers;
  for (int i = 0; i < 64; ++i) {
    callers.emplace_back([this, i] { Append(i); });
  }
  store_.Hold(false);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(store_.size(), 64u);
  EXPECT_LE(store_.appends(), 64);
}

TEST_F(IssuanceLogTest, AStoreThatIsDownKeepsNobodyFromACertificate) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  for (int i = 0; i < 300; ++i) Append(i);
  EXPECT_EQ(store_.size(), 0u);
  store_.FailWith(absl::OkStatus());
  log_ = nullptr;  // Writes what is pending.
  EXPECT_EQ(store_.size(), 300u);
}

TEST_F(IssuanceLogTest, WhatNobodyWaitsForIsThereLater) {
  store_.Hold(true);
  log_->AppendLater(Record(1));
  store_.Hold(false);
  Append(2);
  EXPECT_THAT(Serials({}), ElementsAre("1", "2"));
  // While the store is away it waits, and outlives the process where there is a file for it.
  Start({}, &spool_);
  store_.FailWith(absl::UnavailableError("disk on fire"));
  log_->AppendLater(Record(3));
  log_ = nullptr;
  EXPECT_THAT(spool_.Serials(), ElementsAre("3"));
}

TEST_F(IssuanceLogTest, SaysWhatIsNotInIt) {
  Append(1);
  EXPECT_FALSE(log_->backlog().failing);
  store_.FailWith(absl::UnavailableError("disk on fire"));
  Append(2);
  EXPECT_EQ(log_->backlog().pending, 1u);
  EXPECT_TRUE(log_->backlog().failing);
  EXPECT_FALSE(log_->backlog().lasting);
  EXPECT_EQ(log_->backlog().lost, 0u);
  Start({}, &spool_);
  EXPECT_TRUE(log_->backlog().lasting);
}

// So that whoever has read that time already knows to read it again.
TEST_F(IssuanceLogTest, CountsWhenItWroteLate) {
  Append(1);
  EXPECT_EQ(log_->LateWrites(), 0u);
  store_.FailWith(absl::UnavailableError("disk on fire"));
  Append(2);
  EXPECT_EQ(log_->LateWrites(), absl::nullopt);
  store_.FailWith(absl::OkStatus());
  while (!log_->LateWrites().has_value()) std::this_thread::yield();
  EXPECT_EQ(store_.size(), 2u);
  EXPECT_EQ(log_->LateWrites(), 1u);
}

TEST_F(IssuanceLogTest, KeepsWhatIsYoungHoweverMuchThereIs) {
  Start({absl::Hours(1), 5, absl::Hours(2)});
  for (int i = 1; i <= 9; ++i) Append(i);
  clock_.Advance(absl::Minutes(90));
  Append(10);
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 10u);
}

TEST_F(IssuanceLogTest, EndsWithAStoreThatIsDown) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  Append(1);
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 0u);
}

TEST_F(IssuanceLogTest, WhatTheStoreDoesNotTakeIsInTheSpoolBeforeItIsAnswered) {
  Start({}, &spool_);
  store_.FailWith(absl::UnavailableError("etcd away"));
  Append(1);
  EXPECT_THAT(spool_.Serials(), ElementsAre("1"));
  Append(2);
  EXPECT_THAT(spool_.Serials(), ElementsAre("1", "2"));
  EXPECT_EQ(log_->LateWrites(), absl::nullopt);
}

TEST_F(IssuanceLogTest, DoesNotWaitForAStoreThatHangs) {
  IssuanceLog::Options options;
  options.longest_wait = absl::ZeroDuration();
  Start(options, &spool_);
  store_.Hold(true);
  for (int i = 1; i <= 3; ++i) Append(i);
  EXPECT_THAT(spool_.Serials(), ElementsAre("1", "2", "3"));
  store_.Hold(false);
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 3u);
}

TEST_F(IssuanceLogTest, WhatWaitsGoesToTheStoreWhenThatIsBack) {
  Start({}, &spool_);
  store_.FailWith(absl::UnavailableError("etcd away"));
  for (int i = 1; i <= 250; ++i) Append(i);
  store_.FailWith(absl::OkStatus());
  while (!log_->LateWrites().has_value()) std::this_thread::yield();
  EXPECT_EQ(log_->LateWrites(), 1u);
  EXPECT_EQ(store_.size(), 250u);
  EXPECT_THAT(spool_.Serials(), IsEmpty());
  Append(251);
  EXPECT_EQ(store_.size(), 251u);
  EXPECT_THAT(spool_.Serials(), IsEmpty());
}

TEST_F(IssuanceLogTest, TheNextProcessWritesWhatAnEarlierOneCouldNot) {
  Start({}, &spool_);
  store_.FailWith(absl::UnavailableError("etcd away"));
  for (int i = 1; i <= 150; ++i) Append(i);
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 0u);
  Start({}, &spool_);
  EXPECT_THAT(log_->TakeInSpooled(), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(log_->TakeInSpooled(), IsOk());
  EXPECT_EQ(store_.size(), 150u);
  EXPECT_THAT(spool_.Serials(), IsEmpty());
  // Others read that time again.
  EXPECT_EQ(log_->LateWrites(), 1u);
}

TEST_F(IssuanceLogTest, WhatCanBeNotedNowhereIsNotIssued) {
  Start({}, &spool_);
  store_.FailWith(absl::UnavailableError("etcd away"));
  spool_.FailWith(absl::UnavailableError("disk full"));
  for (int i = 1; i <= 2; ++i) {
    EXPECT_THAT(log_->Append(Record(i)),
                StatusIs(absl::StatusCode::kUnavailable,
                         AllOf(HasSubstr("--issuance_spool"), HasSubstr("disk full"))));
  }
  store_.FailWith(absl::OkStatus());
  // Nothing waits that would find out that it is back, so somebody who asks does.
  while (!log_->Append(Record(3)).ok()) std::this_thread::yield();
  spool_.FailWith(absl::OkStatus());
  EXPECT_THAT(Serials({}), Contains("3"));
}

TEST_F(IssuanceLogTest, ManyCallersShareTheSpool) {
  Start({}, &spool_);
  store_.FailWith(absl::UnavailableError("etcd away"));
  std::vector<std::thread> callers;
  for (int i = 0; i < 64; ++i) callers.emplace_back([this, i] { Append(i); });
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(spool_.Serials(), SizeIs(64));
  store_.FailWith(absl::OkStatus());
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 64u);
}

TEST_F(IssuanceLogTest, ReadsPageByPageByIdentityAndTime) {
  for (int i = 1; i <= 9; ++i) {
    const std::string identity =
        i % 3 == 0 ? "spiffe://cluster.local/b" : "spiffe://cluster.local/a";
    EXPECT_THAT(log_->Append(Record(i, identity)), IsOk());
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
  for (int i = 1; i <= 9; ++i) Append(i);
  clock_.Advance(absl::Minutes(11));
  Append(10);
  log_ = nullptr;
  // One may have been written after the latest look.
  EXPECT_GE(store_.size(), 5u);
  EXPECT_LE(store_.size(), 6u);
  Start({absl::Hours(1), 5});
  clock_.Advance(absl::Hours(2));
  Append(11);
  log_ = nullptr;
  EXPECT_EQ(store_.size(), 1u);
}

TEST_F(IssuanceLogTest, TellsEverythingSinceATime) {
  for (int i = 1; i <= 9; ++i) Append(i);
  int seen = 0;
  EXPECT_THAT(log_->ForEachSince(clock_.WallNow() + absl::Seconds(5),
                                 [&](const IssuanceRecord&) { ++seen; }),
              IsOk());
  EXPECT_EQ(seen, 5);
}

}  // namespace
}  // namespace byrnie
