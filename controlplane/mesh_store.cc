#include "controlplane/mesh_store.h"

#include <utility>

#include "absl/memory/memory.h"
#include "common/base/status_macros.h"

namespace byrnie {

MeshStore::MeshStore(std::unique_ptr<Store> engine, MeshFound mesh, std::string name,
                     const Clock* clock)
    : engine_(std::move(engine)), mesh_(std::move(mesh)), name_(std::move(name)), clock_(clock) {}

absl::StatusOr<std::unique_ptr<MeshStore>> MeshStore::OfOneProcess(std::unique_ptr<Store> engine,
                                                                   const MeshStart& start,
                                                                   const Clock* clock,
                                                                   Logger* logger,
                                                                   MetricRegistry* metrics) {
  MeshFound mesh;
  ASSIGN_OR_RETURN(mesh.may_make_root, MayMakeRoot(engine.get(), start));
  auto made = absl::WrapUnique(new MeshStore(std::move(engine), std::move(mesh), "", clock));
  made->observed_ = std::make_unique<ObservedStore>(made->engine_.get(), clock, logger, metrics);
  return absl::StatusOr<std::unique_ptr<MeshStore>>(std::move(made));
}

absl::StatusOr<std::unique_ptr<MeshStore>> MeshStore::Shared(std::unique_ptr<Store> engine,
                                                             const MeshStart& start,
                                                             const Clock* clock, Logger* logger,
                                                             MetricRegistry* metrics) {
  ASSIGN_OR_RETURN(MeshFound mesh, FindOrMakeMesh(engine.get(), start, clock->WallNow()));
  auto made =
      absl::WrapUnique(new MeshStore(std::move(engine), std::move(mesh), start.name, clock));
  made->guarded_ = std::make_unique<GuardedStore>(
      made->engine_.get(), kMeshKey, made->mesh_.revision,
      [id = made->mesh_.id](const StoreEntry& entry) { return JudgeMesh(entry, id); },
      [logger](const absl::Status& why) {
        logger->Error("the store has lost what it held, what was in force stays",
                      {{"error", why.message()}});
      });
  const GuardedStore* const guarded = made->guarded_.get();
  metrics->AddCallbackGauge(
      "byrnie_controlplane_store_lost",
      "1: the etcd has lost what it held, and what was in force stays; see byrniectl check.",
      [guarded] { return guarded->lost().ok() ? 0.0 : 1.0; });
  made->observed_ = std::make_unique<ObservedStore>(made->guarded_.get(), clock, logger, metrics);
  return made;
}

void MeshStore::LeaveWord() {
  if (word_left_ || guarded_ == nullptr || guarded_->lost().ok()) return;
  const absl::Status left = MarkMeshLost(engine_.get(), mesh_.id, name_, clock_->WallNow());
  // Aborted: there is a record, which says so or is another one's.
  word_left_ = left.ok() || absl::IsAborted(left);
}

}  // namespace byrnie
