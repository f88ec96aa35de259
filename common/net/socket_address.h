#ifndef BYRNIE_COMMON_NET_SOCKET_ADDRESS_H_
#define BYRNIE_COMMON_NET_SOCKET_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// An IPv4 or IPv6 address without a port. IPv4-mapped IPv6 addresses (RFC 4291 section 2.5.5.2) are
// stored as the IPv4 address they mean, so that one host has one key. A value; immutable in use.
class IpAddress {
 public:
  // 0.0.0.0.
  IpAddress() = default;

  // Parses "10.0.0.1" or "fd00::1" (no brackets, no zone). InvalidArgument names the text.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);
  // From 4 or 16 bytes in network order, as istio.workload carries them. InvalidArgument otherwise.
  static absl::StatusOr<IpAddress> FromBytes(absl::string_view bytes);

  bool is_v4() const { return family_ == AF_INET; }
  bool IsLoopback() const;
  bool IsUnspecified() const;
  // fe80::/10, which names a host only together with an interface, the zone of a SocketAddress.
  bool IsLinkLocal() const;
  // 169.254.0.0/16 (RFC 3927), which is used without a zone.
  bool IsIpv4LinkLocal() const;
  // 4 or 16 bytes in network order.
  std::string ToBytes() const;
  std::string ToString() const;

  friend bool operator==(const IpAddress& a, const IpAddress& b);
  friend bool operator!=(const IpAddress& a, const IpAddress& b) { return !(a == b); }
  friend bool operator<(const IpAddress& a, const IpAddress& b);
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine_contiguous(H::combine(std::move(h), a.family_), a.bytes_, 16);
  }

 private:
  friend class SocketAddress;
  sa_family_t family_ = AF_INET;
  uint8_t bytes_[16] = {};  // IPv4 uses the first four; the rest stay zero.
};

// What stands for all addresses of one host where a source has a share: an IPv4 address itself, an
// IPv6 address with zeros behind its /64, of which a host has as many addresses as it likes. Pure.
IpAddress SourceKey(const IpAddress& address);

// An IP address and a TCP port, and of a link-local IPv6 address its zone (RFC 4007): the index of
// the interface, 0 where it is not known. Two zones are two hosts. The number means something in
// one network namespace alone, so it comes from the kernel and goes to the kernel and to logs;
// whatever is sent to another host takes WithoutZone(). A value.
class SocketAddress {
 public:
  // 0.0.0.0:0.
  SocketAddress() = default;
  // `zone` is dropped where the address is not link-local.
  SocketAddress(IpAddress ip, uint16_t port, uint32_t zone = 0)
      : ip_(ip), port_(port), zone_(ip.IsLinkLocal() ? zone : 0) {}

  // Parses "10.0.0.1:80" or "[fd00::1]:80". InvalidArgument names the text: one with a zone too,
  // because text comes from configuration and from peers.
  static absl::StatusOr<SocketAddress> Parse(absl::string_view text);
  // From what the kernel gives. InvalidArgument for families other than AF_INET and AF_INET6.
  static absl::StatusOr<SocketAddress> FromSockaddr(const sockaddr_storage& storage);

  const IpAddress& ip() const { return ip_; }
  uint16_t port() const { return port_; }
  uint32_t zone() const { return zone_; }
  SocketAddress WithPort(uint16_t port) const { return SocketAddress(ip_, port, zone_); }
  SocketAddress WithoutZone() const { return SocketAddress(ip_, port_); }
  // Fills `storage`; returns the length for bind or connect.
  socklen_t ToSockaddr(sockaddr_storage* storage) const;
  // "10.0.0.1:80", "[fd00::1]:80", "[fe80::1%2]:80".
  std::string ToString() const;

  friend bool operator==(const SocketAddress& a, const SocketAddress& b) {
    return a.port_ == b.port_ && a.zone_ == b.zone_ && a.ip_ == b.ip_;
  }
  friend bool operator!=(const SocketAddress& a, const SocketAddress& b) { return !(a == b); }
  template <typename H>
  friend H AbslHashValue(H h, const SocketAddress& a) {
    return H::combine(std::move(h), a.ip_, a.port_, a.zone_);
  }

 private:
  IpAddress ip_;
  uint16_t port_ = 0;
  uint32_t zone_ = 0;
};

// Ports, both ends included.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_SOCKET_ADDRESS_H_
