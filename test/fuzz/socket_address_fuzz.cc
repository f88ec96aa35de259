// SocketAddress and IpAddress: the authority of a CONNECT comes from a peer, the bytes of an
// address from discovery, and original destinations from the kernel.

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "common/net/socket_address.h"
#include "test/fuzz/fuzz_target.h"

namespace {

// Where an address belongs is decided by what it is, and no two of these are said of one.
void CheckKind(const byrnie::IpAddress& ip) {
  if (ip.IsLoopback() + ip.IsUnspecified() + ip.IsLinkLocal() + ip.IsIpv4LinkLocal() > 1) {
    std::abort();
  }
  static const byrnie::IpAddress middle = *byrnie::IpAddress::Parse("128.0.0.1");
  if ((ip < middle) + (middle < ip) + (ip == middle) != 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = byrnie::SocketAddress::Parse(text); address.ok()) {
    const auto again = byrnie::SocketAddress::Parse(address->ToString());
    if (!again.ok() || *again != *address) std::abort();
  }
  if (const auto ip = byrnie::IpAddress::Parse(text); ip.ok()) {
    const auto again = byrnie::IpAddress::FromBytes(ip->ToBytes());
    if (!again.ok() || *again != *ip) std::abort();
    CheckKind(*ip);
  }
  (void)byrnie::IpAddress::FromBytes(text);
  sockaddr_storage storage = {};
  if (size > 0) std::memcpy(&storage, data, std::min(size, sizeof(storage)));
  if (const auto address = byrnie::SocketAddress::FromSockaddr(storage); address.ok()) {
    sockaddr_storage again;
    address->ToSockaddr(&again);
    const auto same = byrnie::SocketAddress::FromSockaddr(again);
    if (!same.ok() || *same != *address) std::abort();
    // What is said to other hosts is read there as the same address.
    const auto read = byrnie::SocketAddress::Parse(address->WithoutZone().ToString());
    if (!read.ok() || *read != address->WithoutZone()) std::abort();
    // Text from elsewhere names no interface of ours.
    if (address->zone() != 0 && byrnie::SocketAddress::Parse(address->ToString()).ok())
      std::abort();
  }
  return 0;
}

namespace byrnie {

namespace {

std::string FromTheKernel(absl::string_view ip, uint32_t zone) {
  sockaddr_storage storage;
  const socklen_t size = SocketAddress(*IpAddress::Parse(ip), 80, zone).ToSockaddr(&storage);
  return std::string(reinterpret_cast<const char*>(&storage), size);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {"10.0.0.1:8080",
          "[fd00::1]:80",
          "[::ffff:10.0.0.1]:1",
          "10.0.0.1",
          "fd00::1",
          "::",
          "::1",
          "127.0.0.1",
          "fe80::1",
          "128.0.0.1",
          std::string("10.0.0.1\0", 9),
          "10.0.0.1:",
          "10.0.0.1:8x",
          "fd00::1:80",
          "[10.0.0.1]:80",
          std::string("\x01\0/tmp/socket", 13),
          "[::1%lo]:1",
          "1.2.3.4:65536",
          ":80",
          "example.com:80",
          "[fe80::1%2]:80",
          FromTheKernel("10.0.0.1", 0),
          FromTheKernel("fd00::1", 0),
          FromTheKernel("fe80::1", 2)};
}

}  // namespace byrnie
