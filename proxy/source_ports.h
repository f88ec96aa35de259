#ifndef BYRNIE_PROXY_SOURCE_PORTS_H_
#define BYRNIE_PROXY_SOURCE_PORTS_H_

#include <algorithm>
#include <cstdint>

#include "absl/random/random.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Few enough to be tried in microseconds, and so many that even where two thirds of all are taken
// hardly ever all of them are.
constexpr int kSourcePorts = 32;

// Ports for TcpStream::ConnectOptions to try, at random among `ports`: the next connection tries
// others. They are those that the kernel gives to applications last: it begins with every second
// port, the first of `ports` among them.
//
// Connection tracking keeps a connection for a while after its end, and takes a new one between the
// same two ends for the old one. Were an application given the port of a connection of the proxy to
// the same destination, its own would not be taken to the proxy, and the guard would refuse it; the
// other way round the proxy would be taken to itself.
template <typename Random>
PortRange ChooseSourcePorts(const PortRange& ports, Random& random) {
  // How many there are of those, each one a port behind one of the kernel's first choice.
  const int count = (ports.last - ports.first + 1) / 2;
  if (count == 0) return ports;
  const int chosen =
      absl::Uniform<int>(absl::IntervalClosed, random, 0, std::max(0, count - kSourcePorts));
  const int first = ports.first + 1 + 2 * chosen;
  return {static_cast<uint16_t>(first),
          static_cast<uint16_t>(std::min<int>(ports.last, first + 2 * (kSourcePorts - 1)))};
}

}  // namespace byrnie

#endif  // BYRNIE_PROXY_SOURCE_PORTS_H_
