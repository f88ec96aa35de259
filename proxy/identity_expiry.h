#ifndef BYRNIE_PROXY_IDENTITY_EXPIRY_H_
#define BYRNIE_PROXY_IDENTITY_EXPIRY_H_

namespace byrnie {

// What becomes of tunnels whose identity has been replaced (--identity_expiry).
enum class IdentityExpiry {
  // No new connections; they end when empty, or when the newest proof of either end's identity, by
  // any handshake of the two, runs out (see PeerProof).
  kDrain,
  // No new connections; their connections go on as long as they like.
  kKeep,
  // They end at once when this proxy's identity is replaced, and at the notAfter of either end's
  // certificate.
  kStrict,
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_IDENTITY_EXPIRY_H_
