#ifndef BYRNIE_PROXY_SOURCE_PORTS_H_
#define BYRNIE_PROXY_SOURCE_PORTS_H_

#include <algorithm>
#include <cstdint>

#include "absl/random/random.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Few enough to be looked through in microseconds, and so many that hardly ever all are taken.
constexpr uint16_t kSourcePorts = 512;

// A part of `ports` at random, for TcpStream::ConnectOptions: the next connection looks elsewhere.
template <typename Random>
PortRange ChooseSourcePorts(const PortRange& ports, Random& random) {
  const int last_first = std::max<int>(ports.first, ports.last - (kSourcePorts - 1));
  PortRange chosen;
  chosen.first = static_cast<uint16_t>(
      absl::Uniform<int>(absl::IntervalClosed, random, ports.first, last_first));
  chosen.last = static_cast<uint16_t>(std::min<int>(ports.last, chosen.first + kSourcePorts - 1));
  return chosen;
}

}  // namespace byrnie

#endif  // BYRNIE_PROXY_SOURCE_PORTS_H_
