#ifndef BYRNIE_COMMON_POLICY_CONNECTION_FACTS_H_
#define BYRNIE_COMMON_POLICY_CONNECTION_FACTS_H_

#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"

namespace byrnie {

// What is known of one inbound connection. Nothing in it is a claim: the identity is verified, the
// addresses are the kernel's.
struct ConnectionFacts {
  // The verified peer; none for plaintext.
  absl::optional<SpiffeId> peer;
  // The address of the peer.
  IpAddress source;
  // What the connection is for: for HBONE the target of the CONNECT, else the original destination.
  SocketAddress destination;
  // True where this port takes plaintext (permissive mode). False: a connection without `peer` is
  // denied before any policy is looked at.
  bool plaintext_admitted = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_POLICY_CONNECTION_FACTS_H_
