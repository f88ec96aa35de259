#include "proxy/peer_usage.h"

namespace byrnie {

PeerUsage::Tunnel PeerUsage::AddTunnel(absl::string_view peer) {
  std::lock_guard<std::mutex> lock(mutex_);
  Peers::value_type& entry = *peers_.try_emplace(peer).first;
  Tunnel tunnel;
  tunnel.of_peer = ++entry.second.tunnels;
  tunnel.of_all = ++tunnels_;
  tunnel.share = Share(this, &entry, &Use::tunnels);
  return tunnel;
}

PeerUsage::Share PeerUsage::AddConnection(absl::string_view peer, size_t limit) {
  std::lock_guard<std::mutex> lock(mutex_);
  Peers::value_type& entry = *peers_.try_emplace(peer).first;
  // A limit is at least 1, so that no entry is left that counts nothing.
  if (entry.second.connections >= limit) return Share();
  ++entry.second.connections;
  return Share(this, &entry, &Use::connections);
}

size_t PeerUsage::Share::connections() const {
  if (usage_ == nullptr) return 0;
  std::lock_guard<std::mutex> lock(usage_->mutex_);
  return peer_->second.connections;
}

void PeerUsage::Share::Release() {
  PeerUsage* const usage = std::exchange(usage_, nullptr);
  if (usage == nullptr) return;
  std::lock_guard<std::mutex> lock(usage->mutex_);
  Use& use = peer_->second;
  --(use.*count_);
  if (count_ == &Use::tunnels) --usage->tunnels_;
  if (use.tunnels == 0 && use.connections == 0) usage->peers_.erase(peer_->first);
}

size_t PeerUsage::peers() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return peers_.size();
}

}  // namespace byrnie
