// ClientHelloParser: however the bytes are cut, the verdict is the same one at the same byte, and
// what a hello holds is within its bounds.

#include <cstdlib>
#include <string>
#include <vector>

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

// `content` behind its length in so many bytes.
std::string Sized(int bytes, const std::string& content) {
  std::string text;
  while (bytes-- > 0) text.push_back(static_cast<char>(content.size() >> (8 * bytes) & 0xff));
  return text + content;
}

std::string Extension(char type, const std::string& data) {
  return std::string({'\0', type}) + Sized(2, data);
}
std::string Protocols(const std::string& names) { return Extension(16, Sized(2, names)); }
std::string Name(char type, const std::string& name) {
  return Extension(0, Sized(2, std::string(1, type) + Sized(2, name)));
}

// A hello that BoringSSL would not write; `extensions` with their length.
std::string Hello(const std::string& ciphers, const std::string& extensions) {
  const std::string body = "\3\3" + std::string(32, 'r') + Sized(1, "") + Sized(2, ciphers) +
                           Sized(1, std::string(1, '\0')) + extensions;
  return InRecord(std::string(1, '\1') + Sized(3, body));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string hello = HelloBytes({"istio-peer-exchange", "istio"}, "outbound_.80_._.a.demo");
  return {
      hello, Refragment(hello, 1), Refragment(hello, 100),
      HelloBytes({"h2", "http/1.1"}, "a.example", /*grease=*/true), HelloBytes({}, ""),
      hello.substr(0, 100), hello + "trailing", "GET / HTTP/1.1\r\n\r\n",
      std::string("\x16\x03\x01\0\0", 5),
      // Not of TLS, or of a version that there is none of; another message; one too large.
      "\x16\x02", "\x16\x03\x05", std::string("\x16\x03\x01\0\4\2\0\0\0", 9),
      std::string("\x16\x03\x01\0\4\1\xff\xff\xff", 9),
      // A record of another kind amid the hello.
      Refragment(hello, 100).substr(0, 105) + std::string("\x17\x03\x03\0\1x", 6),
      Hello("\x13\1", ""), Hello("\x13", ""), Hello("\x13\1", "x"), Hello("\x13\1", Sized(2, "x")),
      // ALPN and the name: twice, of a kind nobody knows, empty.
      Hello("\x13\1", Sized(2, Protocols(Sized(1, "h2")) + Protocols(Sized(1, "h2")))),
      Hello("\x13\1", Sized(2, Name('\0', "a") + Name('\0', "b"))),
      Hello("\x13\1", Sized(2, Name('\1', "a") + Protocols(Sized(1, "h2")))),
      Hello("\x13\1", Sized(2, Name('\0', ""))), Hello("\x13\1", Sized(2, Protocols(Sized(1, "")))),
      Hello("\x13\1", Sized(2, Protocols(""))), Hello("\x13\1", Sized(2, Extension(0, ""))),
      Hello("\x13\1", Sized(2, Extension(16, "")))};
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
