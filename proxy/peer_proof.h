#ifndef BYRNIE_PROXY_PEER_PROOF_H_
#define BYRNIE_PROXY_PEER_PROOF_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Until when this proxy has been given its own identity, which renewals move on. Thread-safe.
class OwnProof {
 public:
  explicit OwnProof(SpiffeId id) : id_(std::move(id)) {}

  const SpiffeId& id() const { return id_; }
  absl::Time until() const { return absl::FromUnixNanos(until_.load(std::memory_order_relaxed)); }
  // Never back: what was issued until then was proven until then.
  void Extend(absl::Time until);

 private:
  const SpiffeId id_;
  std::atomic<int64_t> until_{absl::ToUnixNanos(absl::InfinitePast())};
};

// What is known of one peer, an identity at an address, beyond a single handshake: until when it
// has proven itself in the newest one and by what, and until when it has been shown a certificate
// of this proxy. All tunnels and connections of that pair share it, of all workers (see
// PeerProofs), so that a connection goes on when both have proven themselves anew. Thread-safe.
//
// It also says when the end that dials is to make a handshake for the sake of the proof alone. The
// time is a share of what the last proof was good for, an eighth to a quarter before its end, then
// again and again after half of what is left. Where it waits for this proxy's own certificate, the
// time has come as soon as there is another.
class PeerProof {
 public:
  // The newest of them.
  struct Handshake {
    const CertificateChain& chain;  // The peer's.
    absl::Time until;               // The peer's identity is proven by that.
    absl::Time own_until;           // The certificate shown to it ends.
    // The generation of the bundles that it was judged by, and they.
    uint64_t generation;
    const TrustBundleSet& bundles;
  };
  enum class Renewal { kRenewed, kUnchanged, kFailed };

  // `address` without a port.
  PeerProof(SocketAddress address, SpiffeId id, std::shared_ptr<const OwnProof> own)
      : address_(address), id_(std::move(id)), own_(std::move(own)) {}
  PeerProof(const PeerProof&) = delete;
  PeerProof& operator=(const PeerProof&) = delete;

  const SocketAddress& address() const { return address_; }
  const SpiffeId& id() const { return id_; }
  const std::shared_ptr<const OwnProof>& own() const { return own_; }

  // The peer's identity is proven until then; the infinite past: by nothing newer than the
  // handshake of whoever asks.
  absl::Time until() const { return absl::FromUnixNanos(until_.load(std::memory_order_relaxed)); }

  // Takes what a handshake has proven. A proof that ends later is kept, where it still is one by
  // the bundles of this handshake; one that was judged by older bundles than the present proof is
  // not taken. `random` is uniform in [0, 1).
  void Take(const Handshake& handshake, absl::Time now, double random);
  // Judges by the bundles of `generation`, and drops what proves the peer no longer. The reason,
  // of the closed set of end_reason; empty: it still does. Verifies once for each generation,
  // whoever asks.
  absl::string_view Judge(const TrustBundleSet& bundles, uint64_t generation, absl::Time now);

  // The next time BeginRenewal may say so; another own certificate may bring it sooner.
  absl::Time renew_at() const;
  // Whether to make a handshake now. One at a time: EndRenewal follows. Not where it would prove
  // nothing new, because this proxy's own identity is what ends and has not been renewed.
  bool BeginRenewal(absl::Time now);
  // What has become of it, with the status of the handshake.
  Renewal EndRenewal(const absl::Status& handshake);

 private:
  // These need mutex_. A certificate shown that has ended is none that this peer ends anything for.
  absl::Time End(absl::Time now) const;
  void Plan(absl::Time end, absl::Time now);
  bool IsDue(absl::Time now) const;

  const SocketAddress address_;
  const SpiffeId id_;
  const std::shared_ptr<const OwnProof> own_;
  std::atomic<int64_t> until_{absl::ToUnixNanos(absl::InfinitePast())};  // Written with mutex_.
  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  // Guards what follows.
  mutable std::mutex mutex_;
  CertificateChain chain_;
  uint64_t judged_by_ = 0;
  absl::string_view lost_;  // Why the last proof was dropped, until there is another.
  absl::Time own_until_ = absl::InfinitePast();
  double share_ = 0;
  // The end that renew_at_ was made for.
  absl::Time planned_ = absl::InfinitePast();
  absl::Time renew_at_ = absl::InfiniteFuture();
  // Between attempts where no end is known.
  absl::Duration retry_ = absl::InfiniteDuration();
  // It is time, and only the own certificate is missing.
  bool waits_for_own_ = false;
  bool renewing_ = false;
  absl::Time began_with_ = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PEER_PROOF_H_
