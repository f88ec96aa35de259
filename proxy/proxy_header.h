#ifndef BYRNIE_PROXY_PROXY_HEADER_H_
#define BYRNIE_PROXY_PROXY_HEADER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The type of the field that names the verified SPIFFE ID of the source.
inline constexpr uint8_t kSourceIdentityTlv = 0xd0;

// The header with which an application that speaks the PROXY protocol, version 2, learns whose
// connection it is: both addresses and, unless `source_identity` is empty, the SPIFFE ID of the
// source, which this proxy has verified. Addresses of two families are both given as IPv6, the IPv4
// one mapped. Pure. An identity is at most SpiffeId::kMaxLength bytes, and the header little more.
std::string ProxyHeader(const SocketAddress& source, const SocketAddress& destination,
                        absl::string_view source_identity);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROXY_HEADER_H_
