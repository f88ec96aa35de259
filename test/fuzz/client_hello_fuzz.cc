// ClientHelloParser: however the bytes are cut, the verdict is the same one at the same byte, and
// what a hello holds is within its bounds.

#include <cstdlib>

#include "common/tls/client_hello.h"
#include "common/tls/testing/hello_bytes.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

using State = ClientHelloParser::State;

// Feeds `size` bytes at a time; `*decided_at` is how many it took.
ClientHelloParser Parse(absl::Span<const uint8_t> bytes, size_t size, size_t* decided_at) {
  ClientHelloParser parser;
  *decided_at = 0;
  while (!bytes.empty() && parser.state() == State::kNeedMore) {
    const absl::Span<const uint8_t> piece = bytes.subspan(0, size);
    parser.Feed(piece);
    *decided_at += piece.size();
    bytes.remove_prefix(piece.size());
  }
  return parser;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string hello = HelloBytes({"istio-peer-exchange", "istio"}, "outbound_.80_._.a.demo");
  return {hello,
          Refragment(hello, 1),
          Refragment(hello, 100),
          HelloBytes({"h2", "http/1.1"}, "a.example", /*grease=*/true),
          HelloBytes({}, ""),
          hello.substr(0, 100),
          hello + "trailing",
          "GET / HTTP/1.1\r\n\r\n",
          std::string("\x16\x03\x01\0\0", 5)};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::Span<const uint8_t> bytes(data, size);
  size_t whole_at, bytewise_at, odd_at;
  const auto whole = byrnie::Parse(bytes, size == 0 ? 1 : size, &whole_at);
  const auto bytewise = byrnie::Parse(bytes, 1, &bytewise_at);
  const auto odd = byrnie::Parse(bytes, 7, &odd_at);
  if (whole.state() != bytewise.state() || whole.state() != odd.state()) std::abort();
  if (odd_at < bytewise_at || odd_at - bytewise_at >= 7) std::abort();
  if (whole.hello().alpn != bytewise.hello().alpn) std::abort();
  if (whole.hello().server_name != odd.hello().server_name) std::abort();
  size_t held = whole.hello().server_name.size();
  for (const std::string& protocol : whole.hello().alpn) {
    if (protocol.empty() || protocol.size() > 255) std::abort();
    held += protocol.size();
  }
  if (held > byrnie::ClientHelloParser::kMaxMessage) std::abort();
  return 0;
}
