#include "proxy/connection_registry.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/types/optional.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

// Room for fewer connections is not worth giving back.
constexpr size_t kSmallMap = 256;

}  // namespace

ConnectionRegistry::ConnectionRegistry(EventLoop* loop)
    : loop_(loop), bury_(loop->NewDeferred([this] {
        std::vector<std::unique_ptr<Connection>> ended = std::move(ended_);
        ended_.clear();
      })) {}

ConnectionRegistry::~ConnectionRegistry() = default;

void ConnectionRegistry::Add(std::unique_ptr<Connection> connection) {
  DCHECK(loop_->InLoopThread());
  Connection* raw = connection.get();
  raw->set_id(next_id_++);
  connections_.emplace(raw->id(), std::move(connection));
  raw->Start();
}

void ConnectionRegistry::Remove(Connection* connection) {
  auto it = connections_.find(connection->id());
  DCHECK(it != connections_.end() && it->second.get() == connection);
  ended_.push_back(std::move(it->second));
  connections_.erase(it);
  // A map keeps the room that its fullest moment needed, and is walked as far in every sweep.
  if (connections_.capacity() > kSmallMap && connections_.size() < connections_.capacity() / 8) {
    connections_.rehash(2 * connections_.size());
  }
  bury_->Schedule();
}

Connection* ConnectionRegistry::Find(uint64_t id) const {
  auto it = connections_.find(id);
  return it == connections_.end() ? nullptr : it->second.get();
}

std::vector<Connection*> ConnectionRegistry::All() const {
  // A copy: ending one changes the map. What ends stays alive until the end of the turn.
  std::vector<Connection*> all;
  all.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) all.push_back(connection.get());
  return all;
}

void ConnectionRegistry::Recheck() {
  for (Connection* connection : All()) {
    const absl::optional<std::string> reason = connection->Recheck();
    if (reason.has_value()) connection->Cut(access_reason::kPolicyChanged, *reason);
  }
}

void ConnectionRegistry::AbortExpired(absl::Time now, IdentityExpiry expiry) {
  if (expiry == IdentityExpiry::kKeep || now < next_expiry_) return;
  next_expiry_ = absl::InfiniteFuture();
  for (Connection* connection : All()) {
    const std::shared_ptr<const PeerInfo>& peer = connection->peer();
    if (peer == nullptr) continue;
    if (peer->not_after() > now) {
      NoteExpiry(peer->not_after());
      continue;
    }
    connection->Cut(access_reason::kIdentityExpired,
                    peer->own_until() <= now ? "the own certificate of its tunnel expired"
                                             : "the peer's certificate expired");
  }
}

void ConnectionRegistry::RenewProofs(
    absl::Time now, absl::FunctionRef<void(const std::shared_ptr<PeerProof>& proof)> renew) {
  if (now < next_renewal_) return;
  next_renewal_ = absl::InfiniteFuture();
  for (const auto& [id, connection] : connections_) {
    if (connection->direction() != AccessRecord::Direction::kOutbound) continue;
    const std::shared_ptr<const PeerInfo>& peer = connection->peer();
    if (peer == nullptr || peer->proof == nullptr) continue;
    if (peer->proof->BeginRenewal(now)) renew(peer->proof);
    NoteRenewal(peer->proof->renew_at());
  }
}

void ConnectionRegistry::AbortOtherGenerations(uint64_t generation) {
  for (Connection* connection : All()) {
    const std::shared_ptr<const PeerInfo>& peer = connection->peer();
    if (peer == nullptr || peer->own_generation == generation) continue;
    connection->Cut(access_reason::kIdentityExpired,
                    "the own certificate of its tunnel was replaced");
  }
}

void ConnectionRegistry::AbortWhere(
    absl::AnyInvocable<absl::string_view(const PeerInfo& peer)> why) {
  for (Connection* connection : All()) {
    const std::shared_ptr<const PeerInfo>& peer = connection->peer();
    if (peer == nullptr) continue;
    const absl::string_view reason = why(*peer);
    if (!reason.empty()) connection->Cut(reason, "");
  }
}

void ConnectionRegistry::AbortAged() {
  for (Connection* connection : All()) connection->AbortIfAged();
}

void ConnectionRegistry::AbortAll(absl::string_view reason, absl::string_view detail) {
  for (Connection* connection : All()) connection->Abort(reason, detail);
}

void ConnectionRegistry::GiveUpAll(absl::string_view reason, absl::string_view detail) {
  for (Connection* connection : All()) connection->GiveUp(reason, detail);
}

void ConnectionRegistry::CountBytes() {
  const std::vector<uint64_t> moved = std::move(moved_);
  moved_.clear();
  for (const uint64_t id : moved) {
    Connection* const connection = Find(id);
    if (connection != nullptr) connection->CountBytes();
  }
}

std::vector<uint64_t> ConnectionRegistry::Ids() const {
  std::vector<uint64_t> ids;
  ids.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) ids.push_back(id);
  return ids;
}

}  // namespace byrnie
