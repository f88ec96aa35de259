#ifndef BYRNIE_COMMON_NET_END_CODE_H_
#define BYRNIE_COMMON_NET_END_CODE_H_

#include <cstdint>

namespace byrnie {

// Why a proxy ends an open connection, as ByteStream::ResetWith takes it and RST_STREAM carries it
// to the proxy at the other end. The first three bytes are "byr". Whoever does not know such a code
// takes it for an error like any other (RFC 9113 section 7). The numbers are the protocol's: none
// is ever given another meaning (docs/decisions/0064-why-a-connection-was-ended.md).
enum EndCode : uint32_t {
  kEndUnsaid = 0,
  kEndPolicyChanged = 0x62797201,
  kEndIdentityExpired = 0x62797202,
  kEndTrustRemoved = 0x62797203,
  kEndCertificateRevoked = 0x62797204,
  kEndRevocationUnknown = 0x62797205,
  kEndDrained = 0x62797206,
  kEndMaxAge = 0x62797207,
  kEndIdleTimeout = 0x62797208,
  kEndHalfCloseTimeout = 0x62797209,
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_END_CODE_H_
