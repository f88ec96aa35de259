#include "controlplane/records/join_token_record.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class JoinTokenRecordTest : public ::testing::Test {
 protected:
  JoinTokenRecord Token(char fill, absl::Duration ttl) const {
    return JoinTokenRecord{std::string(32, fill), "spiffe://cluster.local/ns/a/sa/b", now_ + ttl};
  }
  absl::Status Find(char fill, absl::Time now) {
    return FindJoinToken(&store_, std::string(32, fill), now).status();
  }
  absl::Status Consume(char fill, absl::Time now) {
    return ConsumeJoinToken(&store_, std::string(32, fill), now);
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  MemoryStore store_;
};

TEST_F(JoinTokenRecordTest, IsFoundWithoutBeingUsedUp) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  for (int i = 0; i < 2; ++i) {
    auto found = FindJoinToken(&store_, std::string(32, 'a'), now_);
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ(found->hash, std::string(32, 'a'));
    EXPECT_EQ(found->spiffe_id, "spiffe://cluster.local/ns/a/sa/b");
    EXPECT_EQ(found->expires_at, now_ + absl::Minutes(1));
  }
}

TEST_F(JoinTokenRecordTest, AreListedByHashWithoutThoseThatHaveExpired) {
  for (const char fill : {'c', 'a', 'd', 'b'}) {
    const absl::Duration ttl = fill == 'b' ? absl::Seconds(1) : absl::Minutes(1);
    ASSERT_THAT(AddJoinToken(&store_, Token(fill, ttl), now_), IsOk());
  }
  const auto hashes = [&](const std::string& after, int limit) {
    std::string fills;
    const auto tokens = ListJoinTokens(&store_, after, limit, now_ + absl::Seconds(2));
    EXPECT_THAT(tokens, IsOk());
    for (const JoinTokenRecord& token : *tokens) {
      fills.push_back(token.hash[0]);
    }
    return fills;
  };
  EXPECT_EQ(hashes("", 10), "acd");
  EXPECT_EQ(hashes("", 2), "ac");
  EXPECT_EQ(hashes(std::string(32, 'a'), 1), "c");
  EXPECT_EQ(hashes(std::string(32, 'd'), 2), "");
}

TEST_F(JoinTokenRecordTest, IsUsedUpOnceAndThenForgotten) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  EXPECT_THAT(Consume('a', now_), IsOk());
  EXPECT_THAT(Consume('a', now_), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Find('a', now_), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_.Count(""), IsOkAndHolds(0));
}

TEST_F(JoinTokenRecordTest, IsRefusedFromItsExpiryOn) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  const absl::Time end = now_ + absl::Minutes(1);
  EXPECT_THAT(Find('a', end - absl::Microseconds(1)), IsOk());
  EXPECT_THAT(Find('a', end), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Consume('a', end), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JoinTokenRecordTest, TheSameTokenTwiceIsRefused) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  EXPECT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(2)), now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(JoinTokenRecordTest, ExpiredTokensAreForgottenWhenOneIsAdded) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  ASSERT_THAT(AddJoinToken(&store_, Token('b', absl::Hours(1)), now_ + absl::Minutes(2)), IsOk());
  EXPECT_THAT(store_.Count("join_tokens/"), IsOkAndHolds(1));
  EXPECT_THAT(AddJoinToken(&store_, Token('a', absl::Hours(1)), now_ + absl::Minutes(2)), IsOk());
}

TEST_F(JoinTokenRecordTest, WhereAllPlacesAreTakenAnExpiredOneMakesRoom) {
  StoreTransaction batch;
  for (int i = 0; i < kMaxJoinTokens; ++i) {
    JoinTokenRecord token = Token('x', i == 0 ? absl::Minutes(1) : absl::Hours(1));
    token.hash = absl::StrFormat("%032d", i);
    PutJoinToken(token, &batch);
    if (batch.writes().size() == StoreTransaction::kMaxOperations || i + 1 == kMaxJoinTokens) {
      ASSERT_THAT(store_.Commit(batch), IsOk());
      batch = {};
    }
  }
  EXPECT_THAT(AddJoinToken(&store_, Token('a', absl::Hours(1)), now_),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("100000")));
  EXPECT_THAT(AddJoinToken(&store_, Token('a', absl::Hours(1)), now_ + absl::Minutes(1)), IsOk());
  EXPECT_THAT(AddJoinToken(&store_, Token('b', absl::Hours(1)), now_ + absl::Minutes(1)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  // All at once, more than are forgotten by the way.
  EXPECT_THAT(AddJoinToken(&store_, Token('b', absl::Hours(3)), now_ + absl::Hours(1)), IsOk());
}

TEST_F(JoinTokenRecordTest, OfAHundredParallelUsesExactlyOneSucceeds) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  std::atomic<int> succeeded{0}, not_found{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([this, &succeeded, &not_found] {
      const absl::Status status = Consume('a', now_);
      if (status.ok()) ++succeeded;
      if (absl::IsNotFound(status)) ++not_found;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(succeeded, 1);
  EXPECT_EQ(not_found, 99);
}

TEST_F(JoinTokenRecordTest, WhatIsNotKnownIsToBeTriedAgain) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  store_.LoseNextAnswer(absl::UnknownError("gone"));
  EXPECT_THAT(Consume('a', now_), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("new token")));
  EXPECT_THAT(Consume('a', now_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JoinTokenRecordTest, OneThatCannotBeRightGivesNothing) {
  ASSERT_THAT(AddJoinToken(&store_, Token('a', absl::Minutes(1)), now_), IsOk());
  const std::string key = store_.List("join_tokens/", "", 1)->entries[0].key;
  for (const char* value : {"", "\xff\xff", "\x0a\x01x"}) {
    ASSERT_THAT(store_.Commit(StoreTransaction().Put(key, value)), IsOk());
    EXPECT_THAT(Find('a', now_), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(Consume('a', now_), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
}

}  // namespace
}  // namespace byrnie
