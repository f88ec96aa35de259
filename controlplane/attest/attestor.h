#ifndef BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_H_
#define BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Turns a credential that is not a certificate into an identity, in two steps, so that a credential
// which can be used only once is used up by success alone: Check() before the work, Redeem() as its
// last step. Thread-safe.
//
// Both hold the caller's thread while they wait, for the store or for whoever has to be asked about
// the credential. One that asks over a network ends by the deadline, and bounds how many wait at
// the same time, of all and of one source, because the threads are those of everybody else's calls,
// too.
class Attestor {
 public:
  struct Claim {
    SpiffeId id;
    // How it was proven, for the log and the operator: "join_token", "jwt:https://issuer.example".
    std::string proof;
    // What the credential says of its holder, such as a JWT's subject or the pod it is bound to;
    // empty when it says nothing. Like the rest not secret.
    std::string subject;
    // What the attestor needs to redeem the claim.
    std::string handle;
  };

  // Who shows a credential.
  struct Caller {
    // How long he waits.
    absl::Time deadline = absl::InfiniteFuture();
    // Where he is, as limits count it: PeerSource() of his connection. Empty: not known.
    std::string source;
    // The same to the bit, PeerIp() of it. Absent: not known.
    absl::optional<IpAddress> address;
  };

  virtual ~Attestor() = default;

  // As --attest names it, and the label of its metrics.
  virtual absl::string_view name() const = 0;

  // Judges a credential, which is of this control plane's audience where its kind has one.
  // NotFound: it is not of this attestor's kind, another one may know it. A refusal (refusal.h): it
  // proves nothing, and whoever else is asked would say the same. Unavailable: that cannot be told
  // now. No message quotes it.
  virtual absl::StatusOr<Claim> Check(absl::string_view credential, const Caller& caller) = 0;
  // A refusal when somebody else has redeemed it since: the caller then throws away what it made.
  virtual absl::Status Redeem(const Claim& claim) = 0;
  // The same, where `note` is an entry of the store (none: without a key) that is to be there with
  // that, or neither: nobody is left without his credential for what could not be noted. True: it
  // is there. False: this attestor redeems in no store, and whoever asks is to write it.
  virtual absl::StatusOr<bool> RedeemNoting(const Claim& claim, const StoreEntry&) {
    const absl::Status redeemed = Redeem(claim);
    if (!redeemed.ok()) return redeemed;
    return false;
  }
  // What was redeemed a moment ago has come to nothing: it may be redeemed again. Not for what
  // RedeemNoting() has written a note with.
  virtual void Restore(const Claim&) {}
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_H_
