#include "common/net/socket_owner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

void FillAddress(const SocketAddress& address, __be16* port, __be32* bytes) {
  *port = htons(address.port());
  const std::string raw = address.ip().ToBytes();
  std::memcpy(bytes, raw.data(), raw.size());
}

SocketAddress FromDiag(int family, const __be32* bytes, __be16 port) {
  const size_t size = family == AF_INET ? 4 : 16;
  const absl::StatusOr<IpAddress> ip =
      IpAddress::FromBytes(absl::string_view(reinterpret_cast<const char*>(bytes), size));
  return ip.ok() ? SocketAddress(*ip, ntohs(port)) : SocketAddress();
}

absl::Status Error(absl::string_view what, int error) {
  return absl::UnavailableError(absl::StrCat("the kernel does not say whose a socket is (", what,
                                             ": ", strerror(error), ")"));
}

}  // namespace

absl::StatusOr<uid_t> KernelSocketOwners::Find(const SocketAddress& local,
                                               const SocketAddress& remote) const {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!fd) return Error("socket", errno);
  Request request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  // Without NLM_F_DUMP: exactly the socket named, which costs one look into a hash table.
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = local.ip().is_v4() ? AF_INET : AF_INET6;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = ~0u;
  FillAddress(local, &request.body.id.idiag_sport, request.body.id.idiag_src);
  FillAddress(remote, &request.body.id.idiag_dport, request.body.id.idiag_dst);
  // A connection with a link-local address is bound to its interface, and found by it alone.
  request.body.id.idiag_if = std::max(local.zone(), remote.zone());
  request.body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd.get(), &request, sizeof(request), 0, reinterpret_cast<sockaddr*>(&kernel),
             sizeof(kernel)) < 0) {
    return Error("sendto", errno);
  }
  // The kernel has answered by the time sendto returns.
  alignas(nlmsghdr) char buffer[4096];
  const ssize_t size = recv(fd.get(), buffer, sizeof(buffer), 0);
  if (size < 0) return Error("recv", errno);
  const auto* header = reinterpret_cast<const nlmsghdr*>(buffer);
  if (!NLMSG_OK(header, static_cast<size_t>(size))) return Error("answer", EPROTO);
  if (header->nlmsg_type == NLMSG_ERROR) {
    const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
    if (error == ENOENT) return absl::NotFoundError("there is no such connection any more");
    return Error("sock_diag", error);
  }
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
      header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
    return Error("answer", EPROTO);
  }
  const auto* socket = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  // Without a connection of these addresses the kernel shows a listener instead.
  if (FromDiag(socket->idiag_family, socket->id.idiag_src, socket->id.idiag_sport) !=
          local.WithoutZone() ||
      FromDiag(socket->idiag_family, socket->id.idiag_dst, socket->id.idiag_dport) !=
          remote.WithoutZone()) {
    return absl::NotFoundError("there is no such connection any more");
  }
  // A socket that its process has closed lives on in the kernel for a while, without an inode and
  // in some states with uid 0, whoever had made it.
  if (socket->idiag_inode == 0) {
    return absl::NotFoundError("the client has closed its socket");
  }
  return socket->idiag_uid;
}

}  // namespace byrnie
