#include "proxy/peer_proofs.h"

#include "absl/random/random.h"

namespace byrnie {

PeerProofs::PeerProofs()
    : PeerProofs(
          [bits = absl::InsecureBitGen()]() mutable { return absl::Uniform(bits, 0.0, 1.0); }) {}

void PeerProofs::SetOwn(const SpiffeId& id, absl::Time not_after) {
  const std::lock_guard<std::mutex> lock(entries_->mutex);
  if (own_ == nullptr || own_->id() != id) own_ = std::make_shared<OwnProof>(id);
  own_->Extend(not_after);
}

void PeerProofs::Record(const SocketAddress& address, const IdentitySnapshot& trust, absl::Time now,
                        PeerInfo* made) {
  if (!made->own_id.has_value()) return;
  double random;
  made->proof = Find(Key(address.WithPort(0), made->peer.id), *made->own_id, &random);
  if (made->proof == nullptr) return;
  made->proof->Take({made->peer_chain, made->peer.not_after, made->own_not_after,
                     trust.generation(), trust.bundles()},
                    now, random);
}

std::shared_ptr<PeerProof> PeerProofs::Find(Key key, const SpiffeId& own_id, double* random) {
  // Let go of without the lock, which the end of a proof takes.
  std::shared_ptr<PeerProof> known;
  const std::lock_guard<std::mutex> lock(entries_->mutex);
  if (own_ == nullptr || own_->id() != own_id) return nullptr;
  *random = random_();
  const auto [found, fresh] = entries_->proofs.try_emplace(key);
  if (fresh) ++entries_->addresses[key.first.ip()];
  std::weak_ptr<PeerProof>& entry = found->second;
  known = entry.lock();
  if (known != nullptr && known->own() == own_) return known;
  // The last to let go of it may be on any thread, and another proof of the same peer may have
  // taken the place meanwhile.
  std::shared_ptr<PeerProof> proof(
      new PeerProof(key.first, key.second, own_), [entries = entries_](PeerProof* gone) {
        {
          const std::lock_guard<std::mutex> lock(entries->mutex);
          const auto found = entries->proofs.find(Key(gone->address(), gone->id()));
          if (found != entries->proofs.end() && found->second.expired()) {
            entries->proofs.erase(found);
            const auto address = entries->addresses.find(gone->address().ip());
            if (--address->second == 0) entries->addresses.erase(address);
          }
        }
        delete gone;
      });
  entry = proof;
  return proof;
}

bool PeerProofs::Knows(const IpAddress& ip) const {
  const std::lock_guard<std::mutex> lock(entries_->mutex);
  return entries_->addresses.contains(ip);
}

size_t PeerProofs::size() const {
  const std::lock_guard<std::mutex> lock(entries_->mutex);
  return entries_->proofs.size();
}

}  // namespace byrnie
