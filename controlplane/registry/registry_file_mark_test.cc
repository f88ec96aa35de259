#include "controlplane/registry/registry_file_mark.h"

#include "common/base/status_matchers.h"
#include "controlplane/store/testing/memory_store.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(RegistryFileMarkTest, TheNextProcessKnowsThatOneHadEntries) {
  MemoryStore store;
  auto mark = *RegistryFileMark::Load(&store);
  EXPECT_FALSE(mark->had_entries());
  mark->Write();
  EXPECT_THAT(store.Count(""), IsOkAndHolds(0));
  mark->Set(true);
  EXPECT_TRUE(mark->had_entries());
  store.FailWith(absl::UnavailableError("no route to the store"));
  mark->Write();
  store.FailWith(absl::OkStatus());
  EXPECT_THAT(store.Count(""), IsOkAndHolds(0));
  mark->Write();
  EXPECT_TRUE((*RegistryFileMark::Load(&store))->had_entries());
  // Once is enough.
  mark->Write();
  (*RegistryFileMark::Load(&store))->Write();
  EXPECT_EQ(store.List("", "", 10)->revision, 1);
}

// Whoever has moved to the API for good needs no file then.
TEST(RegistryFileMarkTest, IsTakenAwayWhereTheFileIsToHaveNone) {
  MemoryStore store;
  auto mark = *RegistryFileMark::Load(&store);
  mark->Set(true);
  mark->Write();
  mark = *RegistryFileMark::Load(&store);
  mark->Set(false);
  EXPECT_TRUE((*RegistryFileMark::Load(&store))->had_entries());
  store.FailWith(absl::UnavailableError("no route to the store"));
  mark->Write();
  store.FailWith(absl::OkStatus());
  mark->Write();
  EXPECT_FALSE((*RegistryFileMark::Load(&store))->had_entries());
  mark->Set(true);
  mark->Write();
  EXPECT_TRUE((*RegistryFileMark::Load(&store))->had_entries());
}

TEST(RegistryFileMarkTest, AStoreThatDoesNotAnswerIsAnError) {
  MemoryStore store;
  store.FailWith(absl::UnavailableError("no route to the store"));
  EXPECT_THAT(RegistryFileMark::Load(&store), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
