#include "proxy/local_addresses.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

namespace byrnie {

absl::StatusOr<absl::flat_hash_set<IpAddress>> LocalAddresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot list addresses: ", strerror(errno)));
  }
  absl::flat_hash_set<IpAddress> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    sockaddr_storage storage = {};
    if (entry->ifa_addr->sa_family == AF_INET) {
      memcpy(&storage, entry->ifa_addr, sizeof(sockaddr_in));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      memcpy(&storage, entry->ifa_addr, sizeof(sockaddr_in6));
    } else {
      continue;
    }
    const absl::StatusOr<SocketAddress> address = SocketAddress::FromSockaddr(storage);
    if (address.ok()) addresses.insert(address->ip());
  }
  freeifaddrs(list);
  return addresses;
}

}  // namespace byrnie
