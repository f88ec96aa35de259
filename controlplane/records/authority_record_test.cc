#include "controlplane/records/authority_record.h"

#include <string>

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

AuthorityRecord Authority(const std::string& root) {
  std::string key("key\0bytes", 9);
  return AuthorityRecord{"cluster.local", root, SecretBytes::TakeFrom(&key)};
}

TEST(AuthorityRecordTest, IsAbsentAtFirst) {
  MemoryStore store;
  auto loaded = LoadAuthority(&store);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_FALSE(loaded->has_value());
}

TEST(AuthorityRecordTest, IsKeptByteForByte) {
  MemoryStore store;
  ASSERT_THAT(CreateAuthority(&store, Authority(std::string("ro\0ot", 5))), IsOk());
  auto loaded = LoadAuthority(&store);
  ASSERT_THAT(loaded, IsOk());
  ASSERT_TRUE(loaded->has_value());
  EXPECT_EQ((*loaded)->trust_domain, "cluster.local");
  EXPECT_EQ((*loaded)->root_der, std::string("ro\0ot", 5));
  EXPECT_EQ((*loaded)->key_pkcs8.view(), absl::string_view("key\0bytes", 9));
}

TEST(AuthorityRecordTest, IsNeverReplaced) {
  MemoryStore store;
  ASSERT_THAT(CreateAuthority(&store, Authority("first")), IsOk());
  EXPECT_THAT(CreateAuthority(&store, Authority("second")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ((*LoadAuthority(&store))->root_der, "first");
}

TEST(AuthorityRecordTest, OneThatCannotBeRightIsNotTaken) {
  for (const char* value : {"", "\xff\xff"}) {
    MemoryStore store;
    ASSERT_THAT(store.Commit(StoreTransaction().Put("authority", value)), IsOk());
    EXPECT_THAT(LoadAuthority(&store),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("backup")));
  }
}

TEST(AuthorityRecordTest, AStoreThatIsAwayIsUnavailable) {
  MemoryStore store;
  store.LoseNextAnswer(absl::UnknownError("gone"));
  EXPECT_THAT(CreateAuthority(&store, Authority("first")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("start again")));
  EXPECT_TRUE(LoadAuthority(&store)->has_value());
  store.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(LoadAuthority(&store), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(CreateAuthority(&store, Authority("second")),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
