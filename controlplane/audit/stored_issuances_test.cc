#include "controlplane/audit/stored_issuances.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/issuance_codec.h"
#include "controlplane/audit/testing/some_issuance.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

class StoredIssuancesTest : public ::testing::Test {
 protected:
  static IssuanceRecord Record(int number) {
    return SomeIssuance(kNow + absl::Seconds(number), absl::StrCat("5", number));
  }
  void Append(int from, int to) {
    std::vector<IssuanceRecord> records;
    for (int i = from; i <= to; ++i) records.push_back(Record(i));
    ASSERT_THAT(issuances_.Append(records), IsOk());
  }
  std::vector<std::string> Serials(absl::Time since = absl::InfinitePast()) {
    std::vector<std::string> serials;
    std::string after;
    do {
      auto page = issuances_.Read(since, after, 3);
      EXPECT_THAT(page, IsOk());
      for (const IssuanceRecord& record : page->records) serials.push_back(record.serial);
      after = page->next;
    } while (!after.empty());
    return serials;
  }

  MemoryStore store_;
  StoredIssuances issuances_{&store_};
};

TEST_F(StoredIssuancesTest, KeepsAllOfARecord) {
  Append(1, 1);
  auto page = issuances_.Read(kNow, "", 10);
  ASSERT_THAT(page, IsOk());
  ASSERT_EQ(page->records.size(), 1u);
  const IssuanceRecord& read = page->records[0];
  const IssuanceRecord written = Record(1);
  EXPECT_EQ(read.issued_at, written.issued_at);
  EXPECT_EQ(read.serial, written.serial);
  EXPECT_EQ(read.identity, written.identity);
  EXPECT_EQ(read.proof, written.proof);
  EXPECT_EQ(read.subject, written.subject);
  EXPECT_EQ(read.protocol, written.protocol);
  EXPECT_EQ(read.address, written.address);
  EXPECT_EQ(read.root, written.root);
  EXPECT_EQ(read.not_after, written.not_after);
  EXPECT_EQ(read.replaces, written.replaces);
  EXPECT_EQ(read.newest_root, written.newest_root);
  EXPECT_EQ(read.audience, written.audience);
  EXPECT_EQ(page->next, "");
}

TEST_F(StoredIssuancesTest, ReadsInTheOrderOfTimePageByPage) {
  Append(4, 7);
  Append(1, 3);
  EXPECT_THAT(Serials(), ElementsAre("51", "52", "53", "54", "55", "56", "57"));
  EXPECT_THAT(Serials(kNow + absl::Seconds(6)), ElementsAre("56", "57"));
}

TEST_F(StoredIssuancesTest, AppendingAgainChangesNothing) {
  Append(1, 3);
  Append(1, 3);
  EXPECT_THAT(Serials(), ElementsAre("51", "52", "53"));
}

TEST_F(StoredIssuancesTest, TakesAFullBatch) {
  Append(1, static_cast<int>(IssuanceStore::kMaxBatch));
  EXPECT_EQ(Serials().size(), IssuanceStore::kMaxBatch);
}

// A transaction takes a hundred: as often as it says that there are more.
TEST_F(StoredIssuancesTest, TrimsThousandsBitByBit) {
  for (int i = 0; i < 5000; i += 100) Append(i, i + 99);
  int bits = 1;
  while (issuances_.Trim(kNow + absl::Seconds(1950), 10000, absl::InfiniteFuture())->more) ++bits;
  EXPECT_EQ(bits, 20);
  EXPECT_THAT(store_.Count(kIssuancePrefix), IsOkAndHolds(3050));
  bits = 1;
  while (issuances_.Trim(absl::InfinitePast(), 30, absl::InfiniteFuture())->more) ++bits;
  EXPECT_EQ(bits, 31);
  EXPECT_THAT(store_.Count(kIssuancePrefix), IsOkAndHolds(30));
  // What was too many once is not taken off later.
  EXPECT_FALSE(issuances_.Trim(absl::InfinitePast(), 30, absl::InfiniteFuture())->more);
  EXPECT_THAT(store_.Count(kIssuancePrefix), IsOkAndHolds(30));
}

TEST_F(StoredIssuancesTest, TrimsByAgeAndByNumber) {
  Append(1, 9);
  EXPECT_THAT(issuances_.Trim(kNow + absl::Seconds(3), 100, absl::InfiniteFuture()), IsOk());
  EXPECT_THAT(Serials(), ElementsAre("53", "54", "55", "56", "57", "58", "59"));
  EXPECT_THAT(issuances_.Trim(absl::InfinitePast(), 2, absl::InfiniteFuture()), IsOk());
  EXPECT_THAT(Serials(), ElementsAre("58", "59"));
}

TEST_F(StoredIssuancesTest, SaysHowFarTheNumberCutsIntoTheAge) {
  Append(1, 9);
  EXPECT_EQ(issuances_.Trim(kNow + absl::Seconds(3), 7, absl::InfiniteFuture())->cut_to,
            absl::InfinitePast());
  EXPECT_EQ(issuances_.Trim(kNow + absl::Seconds(4), 4, absl::InfiniteFuture())->cut_to,
            kNow + absl::Seconds(5));
  EXPECT_THAT(Serials(), ElementsAre("56", "57", "58", "59"));
  // So that a process which did not delete them knows, too.
  StoredIssuances next(&store_);
  const absl::Time before = kNow + absl::Seconds(4);
  EXPECT_EQ(next.Trim(before, 4, absl::InfiniteFuture())->cut_to, kNow + absl::Seconds(6));
  EXPECT_EQ(next.Trim(before, 5, absl::InfiniteFuture())->cut_to, absl::InfinitePast());
  // One that is too young to be deleted is not the oldest for being too many.
  EXPECT_EQ(next.Trim(before, 3, kNow + absl::Seconds(5))->cut_to, absl::InfinitePast());
}

TEST_F(StoredIssuancesTest, RefusesATokenThatIsNone) {
  for (const char* token :
       {"authority", "issuances/zzzz", "issuances/\x01", "issuances/00000000000000000001",
        "issuances/00000000000000000001/", "issuances/0000000000000000000x/51"}) {
    EXPECT_THAT(issuances_.Read(kNow, token, 10),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page token")))
        << token;
  }
}

TEST_F(StoredIssuancesTest, NamesWhatCannotBeReadAndSaysWhatItsKeySays) {
  Logger logger(2, Logger::Format::kText, LogLevel::kError);
  MetricRegistry metrics;
  UnreadableRecords board("", &logger, &metrics);
  StoredIssuances issuances(&store_, &board);
  Append(1, 9);
  const std::string key = IssuanceKey(Record(5));
  // Also such that is a message all the same.
  for (const std::string& damaged : {std::string("ÿ"), EncodeIssuance(Record(6)), std::string()}) {
    ASSERT_THAT(store_.Commit(StoreTransaction().Put(key, damaged)), IsOk());
    const auto page = issuances.Read(absl::InfinitePast(), "", 100);
    ASSERT_THAT(page, IsOk());
    ASSERT_EQ(page->records.size(), 9u);
    EXPECT_EQ(page->records[4].proof, kUnreadableProof);
    EXPECT_EQ(page->records[4].serial, "55");
    EXPECT_EQ(page->records[4].issued_at, Record(5).issued_at);
    EXPECT_EQ(page->records[4].identity, "");
    ASSERT_EQ(board.List().size(), 1u);
    EXPECT_EQ(board.List()[0].key, key);
  }
  // A page that does not reach it says nothing of it.
  ASSERT_THAT(issuances.Read(Record(6).issued_at, "", 100), IsOk());
  ASSERT_THAT(issuances.Read(absl::InfinitePast(), "", 3), IsOk());
  EXPECT_EQ(board.List().size(), 1u);
  ASSERT_THAT(store_.Commit(StoreTransaction().Delete(key)), IsOk());
  ASSERT_THAT(issuances.Trim(kNow, 1000, kNow), IsOk());
  EXPECT_TRUE(board.List().empty());
}

}  // namespace
}  // namespace byrnie
