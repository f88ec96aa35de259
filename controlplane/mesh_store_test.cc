#include "controlplane/mesh_store.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class MeshStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<MeshStore>> Shared(std::unique_ptr<Store> engine) {
    return MeshStore::Shared(std::move(engine), {"a", "1234", true, false, {}}, &clock_, &logger_,
                             &metrics_);
  }

  absl::StatusOr<std::unique_ptr<MeshStore>> OfOneProcess(std::unique_ptr<Store> engine,
                                                          std::vector<std::string> traces) {
    return MeshStore::OfOneProcess(std::move(engine),
                                   {"a", "", true, false, std::move(traces), /*shared=*/false},
                                   &clock_, &logger_, &metrics_);
  }

  FakeClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  Logger logger_{-1, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
};

TEST_F(MeshStoreTest, OneOfOneProcessHasNoRecordOfItsMesh) {
  auto engine = std::make_unique<MemoryStore>();
  MemoryStore* const kept = engine.get();
  const auto store = OfOneProcess(std::move(engine), {});
  ASSERT_THAT(store, IsOk());
  EXPECT_TRUE((*store)->may_make_root());
  EXPECT_THAT((*store)->store()->Commit(StoreTransaction().Put("x", "1")), IsOk());
  (*store)->LeaveWord();
  EXPECT_THAT(kept->Count(""), IsOkAndHolds(1));
}

TEST_F(MeshStoreTest, OneOfOneProcessThatHasLostItsRootsIsNotMade) {
  EXPECT_THAT(OfOneProcess(std::make_unique<MemoryStore>(), {"the file x is there"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the file x is there")));
  auto engine = std::make_unique<MemoryStore>();
  ASSERT_THAT(engine->Commit(StoreTransaction().Put("policies/p", "1")), IsOk());
  EXPECT_THAT(OfOneProcess(std::move(engine), {}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(MeshStoreTest, ASharedOneIsMadeAMeshAndGuarded) {
  auto engine = std::make_unique<MemoryStore>();
  MemoryStore* const kept = engine.get();
  const auto store = Shared(std::move(engine));
  ASSERT_THAT(store, IsOk());
  EXPECT_TRUE((*store)->may_make_root());
  EXPECT_THAT((*store)->store()->Commit(StoreTransaction().Put("x", "1")), IsOk());
  (*store)->LeaveWord();
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("\nbyrnie_controlplane_store_lost 0\n"));
  // Somebody deletes everything.
  ASSERT_THAT(kept->Commit(StoreTransaction().Delete(kMeshKey).Delete("x")), IsOk());
  EXPECT_THAT((*store)->store()->Get("x"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("\nbyrnie_controlplane_store_lost 1\n"));
  // Who starts now hears of it, and hears it once.
  (*store)->LeaveWord();
  EXPECT_THAT(JudgeMesh(**kept->Get(kMeshKey), "1234"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("control plane a")));
  ASSERT_THAT(kept->Commit(StoreTransaction().Delete(kMeshKey)), IsOk());
  (*store)->LeaveWord();
  EXPECT_THAT(kept->Count(""), IsOkAndHolds(0));
}

TEST_F(MeshStoreTest, OneThatMayNotBeStartedOverIsNotMade) {
  auto engine = std::make_unique<MemoryStore>();
  ASSERT_THAT(engine->Commit(StoreTransaction().Put("policies/p", "1")), IsOk());
  EXPECT_THAT(Shared(std::move(engine)).status(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace byrnie
