#include "controlplane/registry/registry_file_mark.h"

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/store/testing/memory_store.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(RegistryFileMarkTest, TheNextProcessKnowsThatOneHadEntries) {
  MemoryStore store;
  FakeClock clock;
  auto mark = *RegistryFileMark::Load(&store, &clock);
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
  EXPECT_TRUE((*RegistryFileMark::Load(&store, &clock))->had_entries());
  // Once is enough.
  mark->Write();
  (*RegistryFileMark::Load(&store, &clock))->Write();
  EXPECT_EQ(store.List("", "", 10)->revision, 1);
}

// Whoever has moved to the API for good needs no file then.
TEST(RegistryFileMarkTest, IsTakenAwayWhereTheFileIsToHaveNone) {
  MemoryStore store;
  FakeClock clock;
  auto mark = *RegistryFileMark::Load(&store, &clock);
  mark->Set(true);
  mark->Write();
  mark = *RegistryFileMark::Load(&store, &clock);
  mark->Set(false);
  EXPECT_TRUE((*RegistryFileMark::Load(&store, &clock))->had_entries());
  store.FailWith(absl::UnavailableError("no route to the store"));
  mark->Write();
  store.FailWith(absl::OkStatus());
  mark->Write();
  EXPECT_FALSE((*RegistryFileMark::Load(&store, &clock))->had_entries());
  mark->Set(true);
  mark->Write();
  EXPECT_TRUE((*RegistryFileMark::Load(&store, &clock))->had_entries());
}

// As where one of several control planes has moved to the API, and the others have not.
TEST(RegistryFileMarkTest, ComesBackWhereAnotherProcessTakesItAway) {
  MemoryStore store;
  FakeClock clock;
  auto running = *RegistryFileMark::Load(&store, &clock);
  running->Set(true);
  running->Write();
  auto empty = *RegistryFileMark::Load(&store, &clock);
  empty->Set(false);
  empty->Write();
  EXPECT_THAT(store.Count(""), IsOkAndHolds(0));
  // Not at every turn.
  running->Write();
  EXPECT_THAT(store.Count(""), IsOkAndHolds(0));
  clock.Advance(RegistryFileMark::kLookInterval);
  store.FailWith(absl::UnavailableError("no route to the store"));
  running->Write();
  store.FailWith(absl::OkStatus());
  EXPECT_THAT(store.Count(""), IsOkAndHolds(0));
  clock.Advance(RegistryFileMark::kLookInterval);
  running->Write();
  EXPECT_TRUE((*RegistryFileMark::Load(&store, &clock))->had_entries());
  // The other one leaves it there, and neither writes again.
  const int64_t revision = store.List("", "", 10)->revision;
  for (int i = 0; i < 3; ++i) {
    clock.Advance(RegistryFileMark::kLookInterval);
    empty->Write();
    running->Write();
  }
  EXPECT_EQ(store.List("", "", 10)->revision, revision);
}

TEST(RegistryFileMarkTest, AStoreThatDoesNotAnswerIsAnError) {
  MemoryStore store;
  FakeClock clock;
  store.FailWith(absl::UnavailableError("no route to the store"));
  EXPECT_THAT(RegistryFileMark::Load(&store, &clock), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
