// ProxyHeader: what is written reads back as what was given, for any addresses and identity.

#include <cstdlib>
#include <cstring>

#include "common/net/socket_address.h"
#include "proxy/proxy_header.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// First a byte of flags, then both addresses with their ports, then the identity.
constexpr size_t kAddresses = 1 + 2 * 18;

SocketAddress Address(const uint8_t* data, bool v4) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), v4 ? 4 : 16);
  return SocketAddress(*IpAddress::FromBytes(bytes),
                       static_cast<uint16_t>(data[16] << 8 | data[17]));
}

size_t Number(absl::string_view text) {
  return static_cast<size_t>(static_cast<uint8_t>(text[0])) << 8 | static_cast<uint8_t>(text[1]);
}

void Expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string addresses(kAddresses - 1, '\x0a');
  return {std::string("\0", 1) + addresses + "spiffe://cluster.local/ns/demo/sa/client",
          "\1" + addresses + "spiffe://a/b", "\3" + addresses,
          "\2" + addresses + std::string(2048, 'i')};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using byrnie::Expect;
  if (size < byrnie::kAddresses) return 0;
  const byrnie::SocketAddress source = byrnie::Address(data + 1, data[0] & 1);
  const byrnie::SocketAddress destination = byrnie::Address(data + 19, data[0] & 2);
  const absl::string_view id = absl::string_view(reinterpret_cast<const char*>(data), size)
                                   .substr(byrnie::kAddresses, 0xfff0 - 36 - 3);
  const std::string header = byrnie::ProxyHeader(source, destination, id);
  absl::string_view rest = header;
  Expect(rest.substr(0, 12) == absl::string_view("\r\n\r\n\0\r\nQUIT\n", 12));
  Expect(rest[12] == '\x21' && (rest[13] == '\x11' || rest[13] == '\x21'));
  const size_t address_size = rest[13] == '\x11' ? 4 : 16;
  Expect(byrnie::Number(rest.substr(14)) == rest.size() - 16);
  rest.remove_prefix(16);
  for (const byrnie::SocketAddress* address : {&source, &destination}) {
    // Mapped addresses are stored as the IPv4 addresses they mean.
    Expect(*byrnie::IpAddress::FromBytes(rest.substr(0, address_size)) == address->ip());
    rest.remove_prefix(address_size);
  }
  Expect(byrnie::Number(rest) == source.port());
  Expect(byrnie::Number(rest.substr(2)) == destination.port());
  rest.remove_prefix(4);
  if (id.empty()) {
    Expect(rest.empty());
    return 0;
  }
  Expect(static_cast<uint8_t>(rest[0]) == byrnie::kSourceIdentityTlv);
  Expect(byrnie::Number(rest.substr(1)) == id.size() && rest.substr(3) == id);
  return 0;
}
