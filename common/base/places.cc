#include "common/base/places.h"

#include "absl/memory/memory.h"
#include "common/base/check.h"

namespace byrnie {

Places::~Places() { CHECK(taken() == 0); }

std::unique_ptr<Places::Place> Places::Take(std::string holder, Full* full) {
  absl::MutexLock lock(&mu_);
  const auto it = holders_.find(holder);
  const bool holder_full = (it == holders_.end() ? 0 : it->second) >= of_one_;
  if (holder_full || taken_ >= of_all_) {
    if (full != nullptr) *full = holder_full ? Full::kHolder : Full::kAll;
    return nullptr;
  }
  ++taken_;
  ++holders_[holder];
  return absl::WrapUnique(new Place(this, std::move(holder)));
}

size_t Places::taken() const {
  absl::MutexLock lock(&mu_);
  return taken_;
}

void Places::GiveBack(const std::string& holder) {
  absl::MutexLock lock(&mu_);
  --taken_;
  const auto it = holders_.find(holder);
  if (--it->second == 0) holders_.erase(it);
}

}  // namespace byrnie
