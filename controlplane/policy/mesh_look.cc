#include "controlplane/policy/mesh_look.h"

#include <malloc.h>

#include <utility>

namespace byrnie {
namespace {

// What so many workloads take the C library would keep.
constexpr size_t kLargeMesh = 5000;

}  // namespace

uint64_t MeshLook::Enter() {
  absl::MutexLock lock(&mu_);
  ++present_;
  return ++arrivals_;
}

void MeshLook::Leave() {
  bool large = false;
  {
    std::shared_ptr<const KnownMesh> last;
    absl::MutexLock lock(&mu_);
    if (--present_ > 0) return;
    last = std::exchange(known_, nullptr);
    known_of_ = nullptr;
    large = last != nullptr && last->whole.workloads >= kLargeMesh;
  }
  if (large) ::malloc_trim(0);
}

std::shared_ptr<const KnownMesh> MeshLook::Known(uint64_t arrival) {
  absl::MutexLock looking(&looking_);
  uint64_t now_for;
  {
    absl::MutexLock lock(&mu_);
    if (known_ != nullptr && known_for_ >= arrival) return known_;
    now_for = arrivals_;
  }
  RegistrySnapshotPtr now = snapshot_();
  {
    absl::MutexLock lock(&mu_);
    if (known_ != nullptr && known_of_ == now) {
      known_for_ = now_for;
      return known_;
    }
    known_ = nullptr;
    known_of_ = nullptr;
  }
  auto known = std::make_shared<const KnownMesh>(look_(*now));
  // What was let go, and what it took to look: the next one may do so in another thread's heap.
  if (known->whole.workloads >= kLargeMesh) ::malloc_trim(0);
  absl::MutexLock lock(&mu_);
  known_ = known;
  known_of_ = std::move(now);
  known_for_ = now_for;
  return known;
}

}  // namespace byrnie
