#ifndef BYRNIE_PROXY_ACCESS_RECORD_H_
#define BYRNIE_PROXY_ACCESS_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "proxy/stage_times.h"

namespace byrnie {

// Why a proxied connection ended or never began, beside the reasons of common/policy/authorizer.h
// (decision_reason) and proxy/routing_table.h (route_reason). Together they are the closed set of
// AccessRecord::reason and of the `reason` label of metrics; a new one is added to
// proxy/reason_set.cc too.
namespace access_reason {
// Completed: both directions ended cleanly.
inline constexpr absl::string_view kClosed = "closed";
// Completed: one side reset it and the other was told.
inline constexpr absl::string_view kResetByDownstream = "reset-by-downstream";
inline constexpr absl::string_view kResetByUpstream = "reset-by-upstream";
// Ended by the proxy.
inline constexpr absl::string_view kIdleTimeout = "idle-timeout";
inline constexpr absl::string_view kHalfCloseTimeout = "half-close-timeout";
inline constexpr absl::string_view kDrained = "drained";
inline constexpr absl::string_view kPolicyChanged = "policy-changed";
inline constexpr absl::string_view kIdentityExpired = "identity-expired";
inline constexpr absl::string_view kOverloaded = "overloaded";
inline constexpr absl::string_view kBuffersFull = "buffers-full";
inline constexpr absl::string_view kMaxAge = "max-age";
// Never carried a byte.
inline constexpr absl::string_view kTooManyConnections = "too-many-connections";
inline constexpr absl::string_view kTooManySockets = "too-many-sockets";
inline constexpr absl::string_view kMemoryPressure = "memory-pressure";
inline constexpr absl::string_view kNoOriginalDestination = "no-original-destination";
inline constexpr absl::string_view kUnknownAddress = "unknown-address";
inline constexpr absl::string_view kResolveTimeout = "resolve-timeout";
inline constexpr absl::string_view kResolveUnavailable = "resolve-unavailable";
inline constexpr absl::string_view kNoIdentity = "no-identity";
inline constexpr absl::string_view kTlsFailed = "tls-failed";
inline constexpr absl::string_view kPeerIdentityMismatch = "peer-identity-mismatch";
inline constexpr absl::string_view kConnectFailed = "connect-failed";
inline constexpr absl::string_view kConnectTimeout = "connect-timeout";
inline constexpr absl::string_view kTunnelRefused = "tunnel-refused";
// As kTunnelRefused, of direct mTLS: a TLS alert, which `detail` names, is all it says.
inline constexpr absl::string_view kRefusedByPeer = "refused-by-peer";
inline constexpr absl::string_view kClientHelloTimeout = "client-hello-timeout";
inline constexpr absl::string_view kBadConnectRequest = "bad-connect-request";
inline constexpr absl::string_view kLoop = "loop";
inline constexpr absl::string_view kInternal = "internal";
}  // namespace access_reason

// What one proxied connection was, for its line in the access log. A value. Holds no application
// bytes.
struct AccessRecord {
  enum class Direction { kInbound, kOutbound };
  enum class Protocol {
    kHbone,      // A stream of a tunnel.
    kMtls,       // Direct mTLS, one TLS connection for this connection.
    kTls,        // The application's own TLS, carried untouched.
    kPlaintext,  // Anything else without an identity.
    kProbe,      // Plaintext of a declared health probe.
  };
  enum class Result {
    kAllowed,  // It was carried, however it ended.
    kDenied,   // Policy, strict mode or routing said no.
    kFailed,   // It was allowed but could not be carried.
  };
  // What takes it where: the way through the proxy.
  enum class Route { kNone, kTunnel, kDirect, kPassthrough, kLocal };

  // Whether it is a line about a connection that has begun to be carried or that has ended.
  enum class Event { kOpen, kClose };

  Event event = Event::kClose;
  // Names it in the lines of this proxy and on its admin pages: "WORKER-NUMBER". Empty: refused
  // before it was a connection.
  std::string connection;
  absl::Time start;
  absl::Duration duration;
  StageTimes stages;
  Direction direction = Direction::kOutbound;
  Protocol protocol = Protocol::kPlaintext;
  Route route = Route::kNone;
  Result result = Result::kFailed;
  // A reason of the closed set; where that names a policy, followed by a space and its key.
  std::string reason;
  // The reason the other end's proxy gave for its refusal, or for the end of what it had taken, of
  // the closed set; empty: none.
  absl::string_view peer_reason;
  // What admitted an inbound connection: a reason of decision_reason with its policy's key, or
  // "declared-probe"; empty: it was not admitted.
  std::string admitted_by;
  // For people: the text of the error, if any. May quote the network, so it is escaped and cut at
  // 256 bytes.
  std::string detail;

  SocketAddress source;
  // What was dialled; none when nothing was.
  absl::optional<SocketAddress> destination;
  // What the application asked for.
  SocketAddress original_destination;
  // "namespace/hostname"; empty: no service.
  std::string service;
  // Attempts to connect, and why the last but one failed: a reason, a colon and the text of the
  // error. Empty with one attempt.
  int attempts = 0;
  std::string last_failure;
  // Why it could not be found out what the destination is, and it was carried all the same: a
  // reason of the closed set; else empty.
  std::string lookup_failure;
  // Verified identity of the other end; none for plaintext.
  absl::optional<SpiffeId> peer_identity;
  // Identity used by this proxy; none for plaintext.
  absl::optional<SpiffeId> own_identity;

  // Of a CONNECT: the trace it belongs to, 32 hexadecimal digits. The peer chose it where it is
  // inbound.
  std::string trace_id;
  // Inbound, what the peer says and nobody has checked: its workload, and whose connection it was.
  std::string claimed_workload;
  absl::optional<SocketAddress> forwarded_for;

  // As BoringSSL names them: "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768". Empty for
  // plaintext.
  std::string tls_version;
  std::string tls_cipher;
  std::string tls_group;

  // Application bytes, seen from whoever opened the connection.
  uint64_t bytes_sent = 0;      // From downstream to upstream.
  uint64_t bytes_received = 0;  // From upstream to downstream.
};

// As in the access log: "inbound", "allowed", "tunnel", "hbone".
absl::string_view NameOf(AccessRecord::Direction direction);
absl::string_view NameOf(AccessRecord::Result result);
absl::string_view NameOf(AccessRecord::Route route);
absl::string_view NameOf(AccessRecord::Protocol protocol);

// One line of JSON without a line end, for Logger::WriteRaw. Field names are stable; a field with
// nothing to say is left out, never null. In this order: "log":"access", event (open|close),
// connection, time (of the accept; RFC 3339, UTC, milliseconds), direction (inbound|outbound),
// result (allowed|denied|failed), reason, policy (key, where the reason names one), peer_reason,
// admitted_by, detail, source, destination, original_destination, service, attempts (where more
// than one), last_failure, lookup_failure, route (tunnel|direct|passthrough|local|none), protocol
// (hbone|mtls|tls|plaintext|probe), peer_identity, own_identity, trace_id, claimed_workload,
// forwarded_for, tls_version, tls_cipher, tls_group, bytes_sent, bytes_received, duration_ms (with
// microseconds), and destination_ms, policy_ms, dial_ms, tls_ms, tunnel_ms, first_sent_ms,
// first_received_ms (see proxy/stage_times.h). A line about the beginning has no result, reason,
// bytes and duration_ms.
std::string ToJson(const AccessRecord& record);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ACCESS_RECORD_H_
