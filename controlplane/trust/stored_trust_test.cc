#include "controlplane/trust/stored_trust.h"

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1893456000);

class StoredTrustTest : public ::testing::Test {
 protected:
  int64_t Put(const char* key, const char* value) {
    return *store_.Commit(StoreTransaction().Put(key, value));
  }

  MemoryStore store_;
  StoredTrust trust_{&store_};
};

TEST_F(StoredTrustTest, KeepsATimeBesideTheRecord) {
  EXPECT_EQ(trust_.LoadTime()->revision, 0);
  const int64_t record = Put(StoredTrust::kKey, "a record");
  ASSERT_THAT(trust_.KeepTime(kNow, 0, record), IsOk());
  const TrustStore::KeptTime kept = *trust_.LoadTime();
  EXPECT_EQ(kept.time, kNow);
  ASSERT_THAT(trust_.KeepTime(kNow + absl::Minutes(1), kept.revision, record), IsOk());
  EXPECT_EQ(trust_.LoadTime()->time, kNow + absl::Minutes(1));
  EXPECT_EQ((*store_.Get(StoredTrust::kKey))->revision, record);
}

TEST_F(StoredTrustTest, OfTwoWhoKeepATimeOneWins) {
  const int64_t record = Put(StoredTrust::kKey, "a record");
  ASSERT_THAT(trust_.KeepTime(kNow, 0, record), IsOk());
  EXPECT_THAT(trust_.KeepTime(kNow + absl::Hours(1), 0, record),
              StatusIs(absl::StatusCode::kAborted));
  // Nor may one who does not follow the record.
  const int64_t revision = trust_.LoadTime()->revision;
  Put(StoredTrust::kKey, "another one");
  EXPECT_THAT(trust_.KeepTime(kNow + absl::Hours(1), revision, record),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(trust_.LoadTime()->time, kNow);
}

TEST_F(StoredTrustTest, ATimeThatCannotBeReadIsNoneAndIsReplaced) {
  const int64_t record = Put(StoredTrust::kKey, "a record");
  for (const char* damaged : {"\xff\xff", ""}) {
    const int64_t revision = Put(StoredTrust::kTimeKey, damaged);
    EXPECT_EQ(trust_.LoadTime()->time, absl::nullopt);
    ASSERT_THAT(trust_.KeepTime(kNow, revision, record), IsOk());
    EXPECT_EQ(trust_.LoadTime()->time, kNow);
  }
}

}  // namespace
}  // namespace byrnie
