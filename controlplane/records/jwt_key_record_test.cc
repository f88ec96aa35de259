#include "controlplane/records/jwt_key_record.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

JwtKeyRecord Key(const std::string& id, absl::Time signs_from, absl::Time not_after) {
  std::string key = std::string("key\0of ", 7) + id;
  return JwtKeyRecord{id, SecretBytes::TakeFrom(&key), signs_from, not_after};
}

class JwtKeyRecordTest : public ::testing::Test {
 protected:
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const absl::Time end_ = now_ + absl::Hours(2);
  MemoryStore store_;
  std::vector<std::string> damaged_;
};

TEST_F(JwtKeyRecordTest, KeysAreInTheOrderInWhichTheySign) {
  EXPECT_TRUE(LoadJwtKeys(&store_, now_, &damaged_)->empty());
  ASSERT_THAT(AddJwtKey(&store_, Key("b", now_, end_), absl::InfinitePast(), now_), IsOk());
  ASSERT_THAT(AddJwtKey(&store_, Key("a", now_ + absl::Hours(1), end_), now_, now_), IsOk());
  auto keys = LoadJwtKeys(&store_, now_, &damaged_);
  ASSERT_THAT(keys, IsOk());
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0].id, "b");
  EXPECT_EQ((*keys)[0].key_pkcs8.view(), Key("b", now_, end_).key_pkcs8.view());
  EXPECT_EQ((*keys)[0].signs_from, now_);
  EXPECT_EQ((*keys)[1].id, "a");
  EXPECT_EQ((*keys)[1].not_after, end_);
}

TEST_F(JwtKeyRecordTest, OfTwoThatMakeTheNextKeyOneDoes) {
  ASSERT_THAT(AddJwtKey(&store_, Key("a", now_, end_), absl::InfinitePast(), now_), IsOk());
  EXPECT_THAT(AddJwtKey(&store_, Key("b", now_, end_), absl::InfinitePast(), now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
  const absl::Time next = now_ + absl::Hours(1);
  EXPECT_THAT(AddJwtKey(&store_, Key("c", next, end_), now_, now_), IsOk());
  EXPECT_THAT(AddJwtKey(&store_, Key("d", next, end_), now_, now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(AddJwtKey(&store_, Key("c", next, end_), next, now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(JwtKeyRecordTest, TheNumberOfAKeyThatOthersHaveTakenIsNotTakenTwice) {
  StoreTransaction faster;
  PutJwtKey(Key("a", now_, end_), 1, &faster);
  StoreTransaction slower;
  slower.RequireAbsent(faster.writes()[0].key);
  PutJwtKey(Key("b", now_, end_), 1, &slower);
  ASSERT_THAT(store_.Commit(faster), IsOk());
  EXPECT_THAT(store_.Commit(slower), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(JwtKeyRecordTest, KeysThatHaveEndedAreForgotten) {
  ASSERT_THAT(AddJwtKey(&store_, Key("a", now_, end_), absl::InfinitePast(), now_), IsOk());
  EXPECT_EQ(LoadJwtKeys(&store_, end_ - absl::Microseconds(1), &damaged_)->size(), 1u);
  EXPECT_TRUE(LoadJwtKeys(&store_, end_, &damaged_)->empty());
  EXPECT_THAT(AddJwtKey(&store_, Key("b", end_, end_ + absl::Hours(1)), absl::InfinitePast(), end_),
              IsOk());
  EXPECT_EQ(LoadJwtKeys(&store_, now_, &damaged_)->size(), 1u);
  EXPECT_THAT(store_.Count(kJwtKeyPrefix), IsOkAndHolds(1));
}

TEST_F(JwtKeyRecordTest, OneThatCannotBeRightIsNamedAndKeepsNoOtherBack) {
  ASSERT_THAT(AddJwtKey(&store_, Key("a", now_, end_), absl::InfinitePast(), now_), IsOk());
  for (const char* value : {"", "\xff\xff", "\x0a\x01x"}) {
    damaged_.clear();
    ASSERT_THAT(store_.Commit(StoreTransaction().Put("jwt_keys/0000000002", value)), IsOk());
    EXPECT_EQ(LoadJwtKeys(&store_, now_, &damaged_)->size(), 1u);
    EXPECT_THAT(damaged_, ElementsAre("jwt_keys/0000000002"));
  }
  // It is not overwritten by the next one.
  EXPECT_THAT(AddJwtKey(&store_, Key("b", end_, end_), now_, now_), IsOk());
  EXPECT_TRUE(store_.Get("jwt_keys/0000000003")->has_value());
  EXPECT_EQ((*store_.Get("jwt_keys/0000000002"))->value, "\x0a\x01x");
}

}  // namespace
}  // namespace byrnie
