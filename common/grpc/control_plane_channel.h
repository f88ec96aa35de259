#ifndef BYRNIE_COMMON_GRPC_CONTROL_PLANE_CHANNEL_H_
#define BYRNIE_COMMON_GRPC_CONTROL_PLANE_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "common/identity/trust_bundle.h"
#include "grpcpp/channel.h"

namespace byrnie {

// What a client shows to the control plane: its chain, leaf first, and the key of the leaf.
struct ControlPlaneClientIdentity {
  CertificateChain chain;
  std::shared_ptr<const PrivateKey> key;
};

struct ControlPlaneChannelOptions {
  // "HOST:PORT"; the host may be a name, an IPv4 address or an IPv6 address in brackets.
  std::string target;
  // The server must prove to be spiffe://TRUST_DOMAIN/byrnie/controlplane, unless `server_name`
  // says otherwise.
  std::string trust_domain;
  // For servers that are no control plane of ours. A SPIFFE ID of `trust_domain`: who the server
  // must prove to be. Anything else: the DNS name or IP address its certificate must be for (RFC
  // 6125, subject alternative names alone). Empty: the control plane.
  std::string server_name;
  // The roots the server's chain must lead to; nothing else is trusted, the system's roots
  // included.
  std::string trust_bundle_pem;
  // What the server's chain must not be revoked by, where it proves a SPIFFE ID: as
  // TrustBundle::crls.
  RevocationListMap revocation_lists;
  // What the caller calls itself to the server, before the library's own name in "user-agent":
  // "byrnie-certagent/0.1.0". Empty: nothing.
  std::string user_agent = "";
  // Absent for a caller that has only a token.
  absl::optional<ControlPlaneClientIdentity> identity;
  // While calls are open and nothing comes, the other end is asked whether it is there: after how
  // long, and how long it has to answer. A server that hangs goes on taking connections and
  // acknowledging bytes; nothing else finds out.
  absl::Duration keepalive_time = absl::Seconds(20);
  absl::Duration keepalive_timeout = absl::Seconds(10);
  // How long a connection may take, its TLS handshake included.
  absl::Duration connect_timeout = absl::Seconds(5);
};

// Makes a gRPC channel to the control plane over TLS. Does not connect: the first call does. Unless
// `server_name` asks for a host, its name is not looked at: the certificate must have exactly one
// URI SAN, and that one must be the server's SPIFFE ID.
//
// The identity of a channel never changes, and every channel has its own connection. The control
// plane judges the client's certificate again at each call and ends streams, Unauthenticated, once
// it has expired: after a renewal make a new channel, move the streams to it and drop the old one.
//
// The library gives a connection up whose other end does not answer it: calls then fail with
// UNAVAILABLE. It reconnects by itself, waiting at most 5 s between attempts.
//
// InvalidArgument: no target, not a trust domain, a server name that is not one, a bundle without
// certificates, or a key that is not the leaf's.
absl::StatusOr<std::shared_ptr<grpc::Channel>> CreateControlPlaneChannel(
    const ControlPlaneChannelOptions& options);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_CONTROL_PLANE_CHANNEL_H_
