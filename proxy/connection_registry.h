#ifndef BYRNIE_PROXY_CONNECTION_REGISTRY_H_
#define BYRNIE_PROXY_CONNECTION_REGISTRY_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "proxy/connection.h"
#include "proxy/identity_expiry.h"
#include "proxy/peer_proof.h"

namespace byrnie {

// The connections of one worker: owns them, re-checks them when policies or trust change, and ends
// them. Lives on the worker's loop.
class ConnectionRegistry {
 public:
  explicit ConnectionRegistry(EventLoop* loop);
  ConnectionRegistry(const ConnectionRegistry&) = delete;
  ConnectionRegistry& operator=(const ConnectionRegistry&) = delete;
  ~ConnectionRegistry();

  // Takes the connection over and starts it.
  void Add(std::unique_ptr<Connection> connection);
  // Destroys the connection at the end of the turn. Only Connection calls this.
  void Remove(Connection* connection);
  // Null when it has ended.
  Connection* Find(uint64_t id) const;

  // Ends every connection whose Recheck says so, with the reason it gives.
  void Recheck();
  // Tells when the identities of a connection's tunnel run out, and when they are to be proven
  // anew. Only Connection calls these.
  void NoteExpiry(absl::Time not_after) { next_expiry_ = std::min(next_expiry_, not_after); }
  void NoteRenewal(absl::Time renew_at) { next_renewal_ = std::min(next_renewal_, renew_at); }
  // Both may be sooner than told: proofs have been judged again, or there is another own
  // certificate to show.
  void LookAgain() { next_expiry_ = next_renewal_ = absl::InfinitePast(); }
  // Ends those whose tunnel's identities have run out at the wall-clock time `now`, unless they are
  // kept.
  void AbortExpired(absl::Time now, IdentityExpiry expiry);
  // Calls `renew` for the peers of outbound connections whose identity is to be proven anew by a
  // handshake (PeerProof::BeginRenewal has said so): once for each, whoever has the connections.
  void RenewProofs(absl::Time now,
                   absl::FunctionRef<void(const std::shared_ptr<PeerProof>& proof)> renew);
  // Ends those whose tunnel was made with another identity of this proxy.
  void AbortOtherGenerations(uint64_t generation);
  // Ends those for whose tunnel's peer `why` has a reason; an empty one keeps them.
  void AbortWhere(absl::AnyInvocable<absl::string_view(const PeerInfo& peer)> why);
  // Ends those that have been open for as long as they may.
  void AbortAged();
  void AbortAll(absl::string_view reason, absl::string_view detail);
  // Connection::GiveUp, of all.
  void GiveUpAll(absl::string_view reason, absl::string_view detail);

  // Adds to the metrics what has moved since the last call. Idle connections cost it nothing.
  void CountBytes();
  // For Relay::Options.
  std::vector<uint64_t>* moved() { return &moved_; }

  // Connections that have not ended.
  size_t size() const { return connections_.size(); }
  // All that have ever been added.
  uint64_t begun() const { return next_id_ - 1; }
  // The numbers of all, in no order; later ones are larger.
  std::vector<uint64_t> Ids() const;

 private:
  std::vector<Connection*> All() const;

  EventLoop* const loop_;  // Not owned.
  uint64_t next_id_ = 1;
  // None runs out, or is to be proven anew, earlier, so that until then nobody has to look.
  absl::Time next_expiry_ = absl::InfiniteFuture();
  absl::Time next_renewal_ = absl::InfiniteFuture();
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  // Since the last CountBytes; some have ended since.
  std::vector<uint64_t> moved_;
  std::vector<std::unique_ptr<Connection>> ended_;
  std::unique_ptr<EventLoop::Deferred> bury_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_CONNECTION_REGISTRY_H_
