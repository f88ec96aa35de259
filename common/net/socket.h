#ifndef BYRNIE_COMMON_NET_SOCKET_H_
#define BYRNIE_COMMON_NET_SOCKET_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/unique_fd.h"
#include "common/net/socket_address.h"
#include "common/net/stall_detector.h"

namespace byrnie {

// What all our sockets have in common. Every function is thread-safe and does not block.

// A dead peer is noticed after at most kKeepaliveIdle + kKeepaliveProbes * kKeepaliveInterval when
// the connection is idle; StallDetector does the same when data is under way.
constexpr absl::Duration kKeepaliveIdle = absl::Seconds(15);
constexpr absl::Duration kKeepaliveInterval = absl::Seconds(5);
constexpr int kKeepaliveProbes = 4;

// Of a connection that is half closed. Redirected connections live by an entry of the kernel's
// connection tracking, which forgets half-closed ones early: by default after 60 s without a
// packet, on hosts tuned for many connections after as few as 5. The probes keep it.
constexpr absl::Duration kShortKeepaliveIdle = absl::Seconds(3);
constexpr int kShortKeepaliveProbes = 5;

// A non-blocking, close-on-exec stream socket of `family`. ResourceExhausted when there are no more
// descriptors.
absl::StatusOr<UniqueFd> NewStreamSocket(int family);

// Sets TCP_NODELAY, keepalive and SO_OOBINLINE (so that an urgent byte
// stays in the stream and is not lost). Sockets accepted from a listening one inherit all of it.
absl::Status SetTcpOptions(int fd);

// Whether it is a socket of IPv4 or IPv6, not a Unix one.
bool IsIpSocket(int fd);

// IP_TRANSPARENT: the socket may have any address as its own. False, with errno set, without
// CAP_NET_ADMIN.
bool SetTransparent(int fd, bool v4);

// Gives a socket that is about to connect the address `source`; with `transparent`, whosever it is.
// ResourceExhausted when the port is taken.
absl::Status BindToSource(int fd, const SocketAddress& source, bool transparent);

// Has the kernel choose the port of a socket that is about to connect among these, as far as they
// are among those it chooses from at all, or among all of those again. False where it cannot be
// told (before Linux 6.3), and then nothing has changed.
bool SetSourcePorts(int fd, absl::optional<PortRange> ports);

// Probes an idle connection every kShortKeepaliveIdle: for one that is half closed.
void SetShortKeepalive(int fd);

// Makes closing `fd` send a reset (SO_LINGER of 0) instead of ending cleanly, or not any more.
void SetResetOnClose(int fd, bool reset = true);

// Bytes (and FIN) that the peer has not acknowledged yet; 0 when unknown.
int UnsentBytes(int fd);
// Bytes that have come and have not been read; 0 when unknown.
int UnreadBytes(int fd);
// What the send buffer has room for, as the kernel counts it, which is a little more than the
// bytes; 0 where the kernel does not tell.
size_t SendRoom(int fd);

// What the kernel knows of the peer's acknowledgements; none for other than TCP sockets.
absl::optional<StallDetector::Progress> AcknowledgementProgress(int fd);

// Since the last packet of the peer that carried bytes or acknowledged something, answers to
// keepalive probes included; infinite for other than TCP sockets.
absl::Duration SinceHeard(int fd);

// A TCP connection that the kernel is through with, after a reset or both ends: its addresses and
// ports may be another one's by now.
bool GivenUpByKernel(int fd);

// The shortest time that the peer's host has taken lately to acknowledge something; zero where the
// kernel knows none, and for other than TCP sockets.
absl::Duration ShortestRoundTrip(int fd);

// True when bytes, an end or an error wait to be read. Takes nothing.
bool HasInput(int fd);

// Takes the pending error of the socket; 0 when there is none.
int TakeSocketError(int fd);

// `address`, which a packet of the accepted socket `fd` was for, with the zone that it has come by
// where the kernel did not say it: it does so only of connections whose client is link-local too.
SocketAddress WithArrivalZone(int fd, const SocketAddress& address);

absl::StatusOr<SocketAddress> LocalSocketAddress(int fd);
absl::StatusOr<SocketAddress> PeerSocketAddress(int fd);

// Why a connection ended, from an errno of it: Unavailable for everything that peers and networks
// do every day (reset, closed, timed out, unreachable), ResourceExhausted for what this machine
// lacks, Internal for the rest.
absl::Status ConnectionError(int error, absl::string_view what);

// True for an end of a connection that is nobody's fault and not worth a warning.
bool IsRoutineDisconnect(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_SOCKET_H_
