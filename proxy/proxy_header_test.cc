#include "proxy/proxy_header.h"

#include <random>
#include <string>

#include "common/identity/spiffe_id.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

SocketAddress At(const char* text) { return *SocketAddress::Parse(text); }
size_t Number(const std::string& text, size_t at) {
  return static_cast<size_t>(static_cast<uint8_t>(text[at])) << 8 |
         static_cast<uint8_t>(text[at + 1]);
}

TEST(ProxyHeaderTest, IsByteForByteWhatTheSpecificationSays) {
  const std::string header = ProxyHeader(At("10.0.0.1:4000"), At("10.0.0.2:8080"), "");
  EXPECT_EQ(header, std::string("\r\n\r\n\0\r\nQUIT\n"  // Signature.
                                "\x21\x11\0\x0c"        // Version 2, PROXY, TCP over IPv4, 12.
                                "\x0a\0\0\x01\x0a\0\0\x02\x0f\xa0\x1f\x90",
                                28));
}

TEST(ProxyHeaderTest, NamesTheSourceInAFieldOfItsOwn) {
  const std::string id = "spiffe://cluster.local/ns/demo/sa/client";
  const std::string header = ProxyHeader(At("10.0.0.1:4000"), At("10.0.0.2:8080"), id);
  EXPECT_EQ(Number(header, 14), 12 + 3 + id.size());
  EXPECT_EQ(header.substr(28), std::string("\xd0\0\x28", 3) + id);
}

TEST(ProxyHeaderTest, WritesIpv6) {
  const std::string header = ProxyHeader(At("[fd00::1]:4000"), At("[fd00::2]:80"), "");
  EXPECT_EQ(header.substr(12, 4), std::string("\x21\x21\0\x24", 4));
  EXPECT_EQ(header.substr(16, 16), At("[fd00::1]:1").ip().ToBytes());
  EXPECT_EQ(header.substr(32, 16), At("[fd00::2]:1").ip().ToBytes());
  EXPECT_EQ(Number(header, 48), 4000u);
  EXPECT_EQ(Number(header, 50), 80u);
  EXPECT_EQ(header.size(), 52u);
}

TEST(ProxyHeaderTest, AddressesOfTwoFamiliesAreMapped) {
  const std::string header = ProxyHeader(At("10.0.0.1:4000"), At("[fd00::2]:80"), "");
  EXPECT_EQ(header.substr(12, 4), std::string("\x21\x21\0\x24", 4));
  EXPECT_EQ(header.substr(16, 16), std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16));
}

TEST(ProxyHeaderTest, ItsLengthsAddUpWhateverTheIdentity) {
  std::mt19937 random(1);
  for (size_t size = 0; size <= SpiffeId::kMaxLength; size += 1 + random() % 7) {
    const bool v4 = random() % 2 == 0;
    const std::string id(size, 'i');
    const std::string header = ProxyHeader(At(v4 ? "10.0.0.1:1" : "[fd00::1]:1"),
                                           At(v4 ? "10.0.0.2:2" : "[fd00::2]:2"), id);
    const size_t addresses = v4 ? 12 : 36;
    ASSERT_EQ(Number(header, 14), header.size() - 16);
    ASSERT_EQ(header.size(), 16 + addresses + (size == 0 ? 0 : 3 + size));
    if (size == 0) continue;
    ASSERT_EQ(Number(header, 16 + addresses + 1), size);
    ASSERT_EQ(header.substr(16 + addresses + 3), id);
  }
}

}  // namespace
}  // namespace byrnie
