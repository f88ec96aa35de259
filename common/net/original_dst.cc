#include "common/net/original_dst.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/net/socket.h"

namespace byrnie {
namespace {

// SO_ORIGINAL_DST of linux/netfilter_ipv4.h and IP6T_SO_ORIGINAL_DST of
// linux/netfilter_ipv6/ip6_tables.h, whose headers clash with those of the C library.
constexpr int kOriginalDst = 80;

}  // namespace

absl::StatusOr<SocketAddress> GetOriginalDestination(int fd) {
  // Of a mapped address this is the IPv4 one, which tells whose connection table to ask on a
  // dual-stack socket.
  ASSIGN_OR_RETURN(const SocketAddress local, LocalSocketAddress(fd));
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getsockopt(fd, local.ip().is_v4() ? SOL_IP : SOL_IPV6, kOriginalDst, &storage, &size) != 0) {
    // Not tracked, no tracking in this namespace, or a kernel without it.
    if (errno == ENOENT || errno == ENOPROTOOPT || errno == EOPNOTSUPP) {
      return absl::NotFoundError(
          absl::StrCat("the connection to ", local.ToString(), " was not redirected"));
    }
    return ConnectionError(errno, "cannot get the original destination");
  }
  ASSIGN_OR_RETURN(SocketAddress original, SocketAddress::FromSockaddr(storage));
  original = WithArrivalZone(fd, original);
  if (original == local) {
    return absl::NotFoundError(
        absl::StrCat("the connection to ", local.ToString(), " was not redirected"));
  }
  return original;
}

}  // namespace byrnie
