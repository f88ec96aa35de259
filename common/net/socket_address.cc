#include "common/net/socket_address.h"

#include <arpa/inet.h>
#include <string.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Decimal digits only, no sign, no space.
bool ParsePort(absl::string_view text, uint16_t* port) {
  if (text.empty() || text.size() > 5) return false;
  uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  if (value > 65535) return false;
  *port = static_cast<uint16_t>(value);
  return true;
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  uint8_t bytes[16];
  const std::string terminated(text);
  // An embedded NUL would end the text early for inet_pton.
  if (terminated.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, terminated.c_str(), bytes) == 1) {
      return FromBytes({reinterpret_cast<const char*>(bytes), 4});
    }
    if (inet_pton(AF_INET6, terminated.c_str(), bytes) == 1) {
      return FromBytes({reinterpret_cast<const char*>(bytes), 16});
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not an IP address such as 10.0.0.1 or fd00::1"));
}

absl::StatusOr<IpAddress> IpAddress::FromBytes(absl::string_view bytes) {
  IpAddress result;
  if (bytes.size() == 16 && memcmp(bytes.data(), kMappedPrefix, sizeof(kMappedPrefix)) == 0) {
    bytes.remove_prefix(sizeof(kMappedPrefix));
  }
  if (bytes.size() != 4 && bytes.size() != 16) {
    return absl::InvalidArgumentError(
        absl::StrCat("an IP address has 4 or 16 bytes, not ", bytes.size()));
  }
  result.family_ = bytes.size() == 4 ? AF_INET : AF_INET6;
  memcpy(result.bytes_, bytes.data(), bytes.size());
  return result;
}

bool IpAddress::IsLoopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return std::all_of(bytes_, bytes_ + 15, [](uint8_t b) { return b == 0; }) && bytes_[15] == 1;
}

bool IpAddress::IsUnspecified() const {
  return std::all_of(bytes_, bytes_ + 16, [](uint8_t b) { return b == 0; });
}

bool IpAddress::IsLinkLocal() const {
  return !is_v4() && bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::IsIpv4LinkLocal() const { return is_v4() && bytes_[0] == 169 && bytes_[1] == 254; }

std::string IpAddress::ToBytes() const {
  return std::string(reinterpret_cast<const char*>(bytes_), is_v4() ? 4 : 16);
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  // Fails only for other families or a short buffer.
  return inet_ntop(family_, bytes_, text, sizeof(text));
}

IpAddress SourceKey(const IpAddress& address) {
  if (address.is_v4()) return address;
  std::string bytes = address.ToBytes();
  constexpr size_t kPrefix = 8;
  bytes.replace(kPrefix, bytes.size() - kPrefix, bytes.size() - kPrefix, '\0');
  return *IpAddress::FromBytes(bytes);
}

bool operator==(const IpAddress& a, const IpAddress& b) {
  return a.family_ == b.family_ && memcmp(a.bytes_, b.bytes_, sizeof(a.bytes_)) == 0;
}

bool operator<(const IpAddress& a, const IpAddress& b) {
  if (a.family_ != b.family_) return a.family_ < b.family_;
  return memcmp(a.bytes_, b.bytes_, sizeof(a.bytes_)) < 0;
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(absl::string_view text) {
  const absl::Status error = absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is not an address and port such as 10.0.0.1:80 or [fd00::1]:80"));
  const size_t colon = text.rfind(':');
  uint16_t port;
  if (colon == absl::string_view::npos || !ParsePort(text.substr(colon + 1), &port)) return error;
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Brackets exactly where there are colons: fd00::1:80 would be ambiguous.
  if (bracketed != (host.find(':') != absl::string_view::npos)) return error;
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(host);
  if (!ip.ok()) return error;
  return SocketAddress(*ip, port);
}

absl::StatusOr<SocketAddress> SocketAddress::FromSockaddr(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    ASSIGN_OR_RETURN(IpAddress ip,
                     IpAddress::FromBytes({reinterpret_cast<const char*>(&v4.sin_addr), 4}));
    return SocketAddress(ip, ntohs(v4.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    ASSIGN_OR_RETURN(IpAddress ip,
                     IpAddress::FromBytes({reinterpret_cast<const char*>(&v6.sin6_addr), 16}));
    return SocketAddress(ip, ntohs(v6.sin6_port), v6.sin6_scope_id);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("address family ", storage.ss_family, " is neither IPv4 nor IPv6"));
}

socklen_t SocketAddress::ToSockaddr(sockaddr_storage* storage) const {
  memset(storage, 0, sizeof(*storage));
  if (ip_.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port_);
    memcpy(&v4->sin_addr, ip_.bytes_, 4);
    return sizeof(*v4);
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(storage);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port_);
  memcpy(&v6->sin6_addr, ip_.bytes_, 16);
  v6->sin6_scope_id = zone_;
  return sizeof(*v6);
}

std::string SocketAddress::ToString() const {
  if (ip_.is_v4()) return absl::StrCat(ip_.ToString(), ":", port_);
  // As a number (RFC 4007 section 11.2): the interface's name is the kernel's to say.
  const std::string zone = zone_ == 0 ? std::string() : absl::StrCat("%", zone_);
  return absl::StrCat("[", ip_.ToString(), zone, "]:", port_);
}

}  // namespace byrnie
