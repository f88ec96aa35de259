#include "proxy/handshake_counts.h"

#include <algorithm>

#include "common/base/check.h"

namespace byrnie {
namespace {

constexpr size_t kSourceShare = 8;
constexpr size_t kMinPerSource = 4;

}  // namespace

HandshakeCounts::Limits HandshakeCounts::Shared(size_t total) {
  return {total, std::min(total, std::max(kMinPerSource, total / kSourceShare))};
}

HandshakeCounts::Room HandshakeCounts::Find(const IpAddress& source, const Limits& limits) const {
  const auto own = sources_.find(source);
  if (own != sources_.end() && own->second >= limits.per_source) return Room::kSourceFull;
  return total_ >= limits.total ? Room::kFull : Room::kFree;
}

void HandshakeCounts::Take(const IpAddress& source) {
  const auto own = sources_.find(source);
  DCHECK(own != sources_.end());
  if (--own->second == 0) sources_.erase(own);
}

HandshakeCounts::Room HandshakeCounts::TryAdd(const IpAddress& source, const Limits& limits) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Room room = Find(source, limits);
  if (room != Room::kFree) return room;
  ++sources_[source];
  ++total_;
  return room;
}

HandshakeCounts::Room HandshakeCounts::RoomFor(const IpAddress& source,
                                               const Limits& limits) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return Find(source, limits);
}

bool HandshakeCounts::Crowded(const IpAddress& source, const Limits& limits) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto own = sources_.find(source);
  return total_ > limits.total / 2 ||
         (own != sources_.end() && own->second > limits.per_source / 2);
}

void HandshakeCounts::Remove(const IpAddress& source) {
  std::lock_guard<std::mutex> lock(mutex_);
  Take(source);
  --total_;
}

void HandshakeCounts::Replace(const IpAddress& gone, const IpAddress& source) {
  std::lock_guard<std::mutex> lock(mutex_);
  Take(gone);
  ++sources_[source];
}

}  // namespace byrnie
