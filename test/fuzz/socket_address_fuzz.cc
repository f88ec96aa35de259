// SocketAddress and IpAddress parsing: the authority of a CONNECT comes from a peer.

#include <cstdlib>

#include "common/net/socket_address.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = byrnie::SocketAddress::Parse(text); address.ok()) {
    const auto again = byrnie::SocketAddress::Parse(address->ToString());
    if (!again.ok() || *again != *address) std::abort();
  }
  if (const auto ip = byrnie::IpAddress::Parse(text); ip.ok()) {
    const auto again = byrnie::IpAddress::FromBytes(ip->ToBytes());
    if (!again.ok() || *again != *ip) std::abort();
  }
  (void)byrnie::IpAddress::FromBytes(text);
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {"10.0.0.1:8080", "[fd00::1]:80",  "[::ffff:10.0.0.1]:1",
          "10.0.0.1",      "fd00::1",       "::",
          "[::1%lo]:1",    "1.2.3.4:65536", ":80",
          "example.com:80"};
}

}  // namespace byrnie
