// What every engine of Store promises.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/store.h"
#include "controlplane/store/testing/memory_store.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

struct Engine {
  std::string name;
  // `unique` tells the stores of different tests apart.
  std::function<absl::StatusOr<std::unique_ptr<Store>>(const std::string& unique)> open;
};

std::vector<Engine> Engines() {
  return {{"Sqlite",
           [](const std::string& unique) {
             return SqliteStore::Open(absl::StrCat(::testing::TempDir(), "/", unique, ".db"));
           }},
          {"Memory", [](const std::string&) -> absl::StatusOr<std::unique_ptr<Store>> {
             return std::make_unique<MemoryStore>();
           }}};
}

class StoreConformanceTest : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    std::string unique = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    for (char& c : unique) c = c == '/' ? '_' : c;
    absl::StatusOr<std::unique_ptr<Store>> store = GetParam().open(unique);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  JoinTokenRecord Token(char fill, absl::Duration ttl) const {
    return JoinTokenRecord{std::string(32, fill), "spiffe://cluster.local/ns/a/sa/b", now_ + ttl};
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::unique_ptr<Store> store_;
};

AuthorityRecord Authority(const std::string& root) {
  std::string key("key\0bytes", 9);
  return AuthorityRecord{"cluster.local", root, SecretBytes::TakeFrom(&key)};
}

TEST_P(StoreConformanceTest, HasNoAuthorityAtFirst) {
  auto loaded = store_->LoadAuthority();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_FALSE(loaded->has_value());
}

TEST_P(StoreConformanceTest, KeepsTheAuthorityByteForByte) {
  ASSERT_TRUE(store_->CreateAuthority(Authority(std::string("ro\0ot", 5))).ok());
  auto loaded = store_->LoadAuthority();
  ASSERT_TRUE(loaded.ok() && loaded->has_value());
  EXPECT_EQ((*loaded)->trust_domain, "cluster.local");
  EXPECT_EQ((*loaded)->root_der, std::string("ro\0ot", 5));
  EXPECT_EQ((*loaded)->key_pkcs8.view(), absl::string_view("key\0bytes", 9));
}

TEST_P(StoreConformanceTest, NeverReplacesAnAuthority) {
  ASSERT_TRUE(store_->CreateAuthority(Authority("first")).ok());
  EXPECT_EQ(store_->CreateAuthority(Authority("second")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ((*store_->LoadAuthority())->root_der, "first");
}

TEST_P(StoreConformanceTest, FindsATokenWithoutUsingItUp) {
  ASSERT_TRUE(store_->AddJoinToken(Token('a', absl::Minutes(1)), now_).ok());
  for (int i = 0; i < 2; ++i) {
    auto found = store_->FindJoinToken(std::string(32, 'a'), now_);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->spiffe_id, "spiffe://cluster.local/ns/a/sa/b");
    EXPECT_EQ(found->expires_at, now_ + absl::Minutes(1));
  }
}

TEST_P(StoreConformanceTest, UsesATokenUpOnce) {
  ASSERT_TRUE(store_->AddJoinToken(Token('a', absl::Minutes(1)), now_).ok());
  EXPECT_TRUE(store_->ConsumeJoinToken(std::string(32, 'a'), now_).ok());
  EXPECT_EQ(store_->ConsumeJoinToken(std::string(32, 'a'), now_).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->FindJoinToken(std::string(32, 'a'), now_).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(StoreConformanceTest, RefusesATokenFromItsExpiryOn) {
  ASSERT_TRUE(store_->AddJoinToken(Token('a', absl::Minutes(1)), now_).ok());
  const absl::Time end = now_ + absl::Minutes(1);
  EXPECT_TRUE(store_->FindJoinToken(std::string(32, 'a'), end - absl::Microseconds(1)).ok());
  EXPECT_EQ(store_->FindJoinToken(std::string(32, 'a'), end).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->ConsumeJoinToken(std::string(32, 'a'), end).code(),
            absl::StatusCode::kNotFound);
}

TEST_P(StoreConformanceTest, RefusesTheSameTokenTwice) {
  ASSERT_TRUE(store_->AddJoinToken(Token('a', absl::Minutes(1)), now_).ok());
  EXPECT_EQ(store_->AddJoinToken(Token('a', absl::Minutes(2)), now_).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_P(StoreConformanceTest, ForgetsExpiredTokensWhenOneIsAdded) {
  ASSERT_TRUE(store_->AddJoinToken(Token('a', absl::Minutes(1)), now_).ok());
  ASSERT_TRUE(store_->AddJoinToken(Token('b', absl::Hours(1)), now_ + absl::Minutes(2)).ok());
  EXPECT_TRUE(store_->AddJoinToken(Token('a', absl::Hours(1)), now_ + absl::Minutes(2)).ok());
}

TEST_P(StoreConformanceTest, OfAHundredParallelUsesExactlyOneSucceeds) {
  ASSERT_TRUE(store_->AddJoinToken(Token('a', absl::Minutes(1)), now_).ok());
  std::atomic<int> succeeded{0}, not_found{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([this, &succeeded, &not_found] {
      const absl::Status status = store_->ConsumeJoinToken(std::string(32, 'a'), now_);
      if (status.ok()) ++succeeded;
      if (absl::IsNotFound(status)) ++not_found;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(succeeded, 1);
  EXPECT_EQ(not_found, 99);
}

TEST_P(StoreConformanceTest, ReplacesTheOperatorTokenHash) {
  EXPECT_FALSE(store_->LoadOperatorTokenHash()->has_value());
  ASSERT_TRUE(store_->SetOperatorTokenHash(std::string(32, 'x')).ok());
  EXPECT_EQ(**store_->LoadOperatorTokenHash(), std::string(32, 'x'));
  ASSERT_TRUE(store_->SetOperatorTokenHash(std::string(32, 'y')).ok());
  EXPECT_EQ(**store_->LoadOperatorTokenHash(), std::string(32, 'y'));
}

JwtKeyRecord JwtKeyOf(const std::string& id, absl::Time signs_from, absl::Time not_after) {
  std::string key = std::string("key\0of ", 7) + id;
  return JwtKeyRecord{id, SecretBytes::TakeFrom(&key), signs_from, not_after};
}

TEST_P(StoreConformanceTest, KeepsJwtKeysInTheOrderInWhichTheySign) {
  EXPECT_TRUE(store_->LoadJwtKeys(now_)->empty());
  const absl::Time end = now_ + absl::Hours(2);
  ASSERT_THAT(store_->AddJwtKey(JwtKeyOf("b", now_, end), absl::InfinitePast(), now_), IsOk());
  ASSERT_THAT(store_->AddJwtKey(JwtKeyOf("a", now_ + absl::Hours(1), end), now_, now_), IsOk());
  auto keys = store_->LoadJwtKeys(now_);
  ASSERT_TRUE(keys.ok() && keys->size() == 2) << keys.status();
  EXPECT_EQ((*keys)[0].id, "b");
  EXPECT_EQ((*keys)[0].key_pkcs8.view(), JwtKeyOf("b", now_, end).key_pkcs8.view());
  EXPECT_EQ((*keys)[0].signs_from, now_);
  EXPECT_EQ((*keys)[1].id, "a");
  EXPECT_EQ((*keys)[1].not_after, end);
}

TEST_P(StoreConformanceTest, OfTwoThatMakeTheNextJwtKeyOneDoes) {
  const absl::Time end = now_ + absl::Hours(2);
  ASSERT_THAT(store_->AddJwtKey(JwtKeyOf("a", now_, end), absl::InfinitePast(), now_), IsOk());
  EXPECT_THAT(store_->AddJwtKey(JwtKeyOf("b", now_, end), absl::InfinitePast(), now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
  const absl::Time next = now_ + absl::Hours(1);
  EXPECT_THAT(store_->AddJwtKey(JwtKeyOf("c", next, end), now_, now_), IsOk());
  EXPECT_THAT(store_->AddJwtKey(JwtKeyOf("d", next, end), now_, now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(store_->AddJwtKey(JwtKeyOf("c", next, end), next, now_),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(StoreConformanceTest, ForgetsJwtKeysThatHaveEnded) {
  const absl::Time end = now_ + absl::Hours(2);
  ASSERT_THAT(store_->AddJwtKey(JwtKeyOf("a", now_, end), absl::InfinitePast(), now_), IsOk());
  EXPECT_EQ(store_->LoadJwtKeys(end - absl::Microseconds(1))->size(), 1u);
  EXPECT_TRUE(store_->LoadJwtKeys(end)->empty());
  EXPECT_THAT(
      store_->AddJwtKey(JwtKeyOf("b", end, end + absl::Hours(1)), absl::InfinitePast(), end),
      IsOk());
  EXPECT_EQ(store_->LoadJwtKeys(now_)->size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Engines, StoreConformanceTest, ::testing::ValuesIn(Engines()),
                         [](const ::testing::TestParamInfo<Engine>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace byrnie
