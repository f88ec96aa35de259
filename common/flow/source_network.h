#ifndef BYRNIE_COMMON_FLOW_SOURCE_NETWORK_H_
#define BYRNIE_COMMON_FLOW_SOURCE_NETWORK_H_

#include <cstdint>
#include <string>

#include "common/net/socket_address.h"

namespace byrnie {

// The network that stands for a source which has proven no identity: single addresses are too many,
// and say as little. A value.
struct SourceNetwork {
  IpAddress address;
  uint32_t length = 0;

  // "10.77.0.0/24", "fd00:1:2:3::/64".
  std::string ToString() const;
};

// The /24 or /64 that an address is in. Pure.
SourceNetwork SourceNetworkOf(const IpAddress& address);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_FLOW_SOURCE_NETWORK_H_
