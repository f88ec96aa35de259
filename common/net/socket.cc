#include "common/net/socket.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

// IP_LOCAL_PORT_RANGE of linux/in.h, which cannot be included beside netinet/in.h.
constexpr int kIpLocalPortRange = 51;

bool SetInt(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

int ToSeconds(absl::Duration duration) { return static_cast<int>(absl::ToInt64Seconds(duration)); }

// False for other than TCP sockets.
bool GetTcpInfo(int fd, tcp_info* info) {
  *info = {};
  socklen_t size = sizeof(*info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

// TCP_INFO up to what the C library does not declare yet (struct tcp_info of linux/tcp.h).
struct LongTcpInfo {
  tcp_info first;
  uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  uint32_t segs_out, segs_in, notsent_bytes, min_rtt;  // The last in microseconds.
};
static_assert(offsetof(LongTcpInfo, min_rtt) == 148, "the kernel's layout");

}  // namespace

absl::StatusOr<UniqueFd> NewStreamSocket(int family) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ConnectionError(errno, "cannot create a socket");
  return fd;
}

absl::Status SetTcpOptions(int fd) {
  const bool ok = SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
                  SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
                  SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, ToSeconds(kKeepaliveIdle)) &&
                  SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, ToSeconds(kKeepaliveInterval)) &&
                  SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes) &&
                  SetInt(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  if (!ok) return ConnectionError(errno, "cannot set socket options");
  return absl::OkStatus();
}

bool IsIpSocket(int fd) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
         (domain == AF_INET || domain == AF_INET6);
}

bool SetTransparent(int fd, bool v4) {
  return v4 ? SetInt(fd, SOL_IP, IP_TRANSPARENT, 1) : SetInt(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
}

absl::Status BindToSource(int fd, const SocketAddress& source, bool transparent) {
  const std::string what = absl::StrCat("cannot connect from ", source.ToString());
  if (transparent && !SetTransparent(fd, source.ip().is_v4())) {
    return absl::PermissionDeniedError(
        absl::StrCat(what, ": ", strerror(errno), "; it needs the capability NET_ADMIN"));
  }
  // The same source may be used towards several destinations; connect() refuses the same pair.
  SetInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  sockaddr_storage storage;
  const socklen_t size = source.ToSockaddr(&storage);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    const int error = errno;
    const absl::Status status = ConnectionError(error, what);
    return error == EADDRINUSE ? absl::ResourceExhaustedError(status.message()) : status;
  }
  return absl::OkStatus();
}

bool SetSourcePorts(int fd, absl::optional<PortRange> ports) {
  // The option of IPv6 sockets too. The last port is the upper half; 0 is any.
  const uint32_t range = ports ? static_cast<uint32_t>(ports->last) << 16 | ports->first : 0;
  return setsockopt(fd, SOL_IP, kIpLocalPortRange, &range, sizeof(range)) == 0;
}

void SetShortKeepalive(int fd) {
  // Fails only where it means nothing: a Unix socket, or a connection that is already gone.
  SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, ToSeconds(kShortKeepaliveIdle));
  SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, ToSeconds(kShortKeepaliveIdle));
  SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, kShortKeepaliveProbes);
}

void SetResetOnClose(int fd, bool reset) {
  linger option = {};
  option.l_onoff = reset ? 1 : 0;
  option.l_linger = 0;
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option));
}

int UnsentBytes(int fd) {
  int bytes = 0;
  if (ioctl(fd, SIOCOUTQ, &bytes) != 0) return 0;
  return bytes;
}

int UnreadBytes(int fd) {
  int bytes = 0;
  if (ioctl(fd, FIONREAD, &bytes) != 0) return 0;
  return bytes;
}

size_t SendRoom(int fd) {
  uint32_t info[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) != 0) return 0;
  const uint32_t limit = info[SK_MEMINFO_SNDBUF];
  return limit - std::min(limit, info[SK_MEMINFO_WMEM_QUEUED]);
}

absl::optional<StallDetector::Progress> AcknowledgementProgress(int fd) {
  tcp_info info;
  if (!GetTcpInfo(fd, &info)) return absl::nullopt;
  return StallDetector::Progress{info.tcpi_unacked, info.tcpi_probes,
                                 absl::Milliseconds(info.tcpi_last_ack_recv)};
}

absl::Duration SinceHeard(int fd) {
  tcp_info info;
  if (!GetTcpInfo(fd, &info)) return absl::InfiniteDuration();
  // Of the two the kernel judges keepalives by the later one too (tcp_keepalive_timer).
  return absl::Milliseconds(std::min(info.tcpi_last_ack_recv, info.tcpi_last_data_recv));
}

bool GivenUpByKernel(int fd) {
  tcp_info info;
  return GetTcpInfo(fd, &info) && info.tcpi_state == TCP_CLOSE;
}

absl::Duration ShortestRoundTrip(int fd) {
  LongTcpInfo info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < sizeof(info) ||
      info.min_rtt == std::numeric_limits<uint32_t>::max()) {
    return absl::ZeroDuration();
  }
  return absl::Microseconds(info.min_rtt);
}

bool HasInput(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

int TakeSocketError(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

SocketAddress WithArrivalZone(int fd, const SocketAddress& address) {
  if (!address.ip().IsLinkLocal() || address.zone() != 0) return address;
  // Of an accepted socket this is the interface that the connection came by (tcp_v6_syn_recv_sock);
  // of others it is 0, and nothing is lost.
  int interface = 0;
  socklen_t size = sizeof(interface);
  if (getsockopt(fd, SOL_IPV6, IPV6_MULTICAST_IF, &interface, &size) != 0) return address;
  return SocketAddress(address.ip(), address.port(), static_cast<uint32_t>(interface));
}

absl::StatusOr<SocketAddress> LocalSocketAddress(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return ConnectionError(errno, "cannot get the local address");
  }
  ASSIGN_OR_RETURN(const SocketAddress address, SocketAddress::FromSockaddr(storage));
  return WithArrivalZone(fd, address);
}

absl::StatusOr<SocketAddress> PeerSocketAddress(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return ConnectionError(errno, "cannot get the peer's address");
  }
  return SocketAddress::FromSockaddr(storage);
}

absl::Status ConnectionError(int error, absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", strerror(error));
  switch (error) {
    case ECONNRESET:
    case ECONNREFUSED:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENONET:
    case EPROTO:
    case EACCES:  // A firewall that rejects.
    case EPERM:   // Likewise, in our own output chain.
      return absl::UnavailableError(message);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
    case EADDRNOTAVAIL:  // No free local port.
    case EAGAIN:         // Likewise, and a full routing cache or accept queue.
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

bool IsRoutineDisconnect(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable;
}

}  // namespace byrnie
