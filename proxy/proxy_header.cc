#include "proxy/proxy_header.h"

#include "common/base/check.h"

namespace byrnie {
namespace {

// Section 2.2 of the specification.
constexpr absl::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr char kVersion2Proxy = '\x21';
constexpr char kTcpOverIpv4 = '\x11';
constexpr char kTcpOverIpv6 = '\x21';
constexpr absl::string_view kMappedPrefix("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);

void AppendUint16(size_t value, std::string* out) {
  CHECK(value <= 0xffff);
  out->push_back(static_cast<char>(value >> 8));
  out->push_back(static_cast<char>(value & 0xff));
}

void AppendAddress(const IpAddress& ip, bool as_v4, std::string* out) {
  if (ip.is_v4() && !as_v4) out->append(kMappedPrefix.data(), kMappedPrefix.size());
  *out += ip.ToBytes();
}

}  // namespace

std::string ProxyHeader(const SocketAddress& source, const SocketAddress& destination,
                        absl::string_view source_identity) {
  const bool v4 = source.ip().is_v4() && destination.ip().is_v4();
  std::string rest;
  AppendAddress(source.ip(), v4, &rest);
  AppendAddress(destination.ip(), v4, &rest);
  AppendUint16(source.port(), &rest);
  AppendUint16(destination.port(), &rest);
  if (!source_identity.empty()) {
    rest.push_back(static_cast<char>(kSourceIdentityTlv));
    AppendUint16(source_identity.size(), &rest);
    rest.append(source_identity.data(), source_identity.size());
  }
  std::string header(kSignature);
  header.push_back(kVersion2Proxy);
  header.push_back(v4 ? kTcpOverIpv4 : kTcpOverIpv6);
  AppendUint16(rest.size(), &header);
  return header + rest;
}

}  // namespace byrnie
