#include "common/tls/client_hello.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/tls/testing/hello_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using State = ClientHelloParser::State;

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

State Parse(absl::string_view text, ClientHello* hello = nullptr) {
  ClientHelloParser parser;
  const State state = parser.Feed(Bytes(text));
  if (hello != nullptr) *hello = parser.hello();
  return state;
}

std::string Uint16(size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}
std::string Extension(uint16_t type, const std::string& data) {
  return absl::StrCat(Uint16(type), Uint16(data.size()), data);
}
std::string Alpn(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    list.push_back(static_cast<char>(name.size()));
    list += name;
  }
  return Extension(16, absl::StrCat(Uint16(list.size()), list));
}
std::string Name(const std::string& host) {
  return Extension(
      0, absl::StrCat(Uint16(host.size() + 3), std::string(1, '\0'), Uint16(host.size()), host));
}

// A message made by hand, with exactly these extensions.
std::string Message(const std::string& extensions, bool with_extensions = true) {
  std::string body = absl::StrCat("\3\3", std::string(32, 'r'), std::string(1, '\0'), Uint16(2),
                                  "\x13\x01", std::string("\1\0", 2));
  if (with_extensions) absl::StrAppend(&body, Uint16(extensions.size()), extensions);
  return absl::StrCat("\1", std::string(1, '\0'), Uint16(body.size()), body);
}

TEST(ClientHelloTest, ReadsWhatBoringSslSends) {
  ClientHello hello;
  EXPECT_EQ(
      Parse(HelloBytes({"istio-peer-exchange", "istio"}, "outbound_.80_._.server.demo"), &hello),
      State::kHello);
  EXPECT_THAT(hello.alpn, ElementsAre("istio-peer-exchange", "istio"));
  EXPECT_EQ(hello.server_name, "outbound_.80_._.server.demo");
  EXPECT_TRUE(hello.Offers("istio"));
  EXPECT_FALSE(hello.Offers("isti"));
  EXPECT_FALSE(hello.Offers("h2"));
}

TEST(ClientHelloTest, AHelloWithoutAlpnAndNameOffersNothing) {
  ClientHello hello;
  EXPECT_EQ(Parse(HelloBytes({}, ""), &hello), State::kHello);
  EXPECT_THAT(hello.alpn, IsEmpty());
  EXPECT_THAT(hello.server_name, IsEmpty());
}

TEST(ClientHelloTest, PostQuantumHellosAreTheUsualSize) {
  EXPECT_GT(HelloBytes({"istio"}, "").size(), 1400u);
}

TEST(ClientHelloTest, CutAtEveryByteItIsTheSame) {
  const std::string bytes = HelloBytes({"istio"}, "a.example");
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    ClientHelloParser parser;
    const State first = parser.Feed(Bytes(bytes).subspan(0, cut));
    ASSERT_EQ(first, cut == bytes.size() ? State::kHello : State::kNeedMore) << cut;
    ASSERT_EQ(parser.Feed(Bytes(bytes).subspan(cut)), State::kHello) << cut;
    ASSERT_THAT(parser.hello().alpn, ElementsAre("istio"));
  }
}

TEST(ClientHelloTest, ByteByByteNothingIsKnownBeforeTheLast) {
  const std::string bytes = HelloBytes({"istio"}, "");
  ClientHelloParser parser;
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    ASSERT_EQ(parser.Feed(Bytes(bytes).subspan(i, 1)), State::kNeedMore) << i;
  }
  EXPECT_EQ(parser.Feed(Bytes(bytes).last(1)), State::kHello);
}

TEST(ClientHelloTest, TakesRecordsOfAnySize) {
  const std::string bytes = HelloBytes({"istio"}, "");
  for (const size_t size : {size_t{1}, size_t{2}, size_t{3}, size_t{100}, size_t{16384}}) {
    ClientHello hello;
    EXPECT_EQ(Parse(Refragment(bytes, size), &hello), State::kHello) << size;
    EXPECT_THAT(hello.alpn, ElementsAre("istio")) << size;
  }
}

TEST(ClientHelloTest, RecordsOfOneByteComeByteByByte) {
  const std::string bytes = Refragment(HelloBytes({"istio"}, ""), 1);
  ClientHelloParser parser;
  for (size_t i = 0; i < bytes.size(); ++i) {
    ASSERT_EQ(parser.Feed(Bytes(bytes).subspan(i, 1)),
              i + 1 == bytes.size() ? State::kHello : State::kNeedMore);
  }
}

TEST(ClientHelloTest, DoesNotLookBehindTheHello) {
  const std::string bytes = HelloBytes({"istio"}, "");
  EXPECT_EQ(Parse(bytes + "anything"), State::kHello);
  ClientHelloParser parser;
  EXPECT_EQ(parser.Feed(Bytes(bytes)), State::kHello);
  EXPECT_EQ(parser.Feed(Bytes("anything")), State::kHello);
}

TEST(ClientHelloTest, GreaseChangesNothing) {
  ClientHello hello;
  EXPECT_EQ(Parse(HelloBytes({"istio"}, "a.example", /*grease=*/true), &hello), State::kHello);
  EXPECT_THAT(hello.alpn, ElementsAre("istio"));
  const std::string extensions =
      absl::StrCat(Extension(0x0a0a, ""), Alpn({"\x1a\x1a", "istio"}), Extension(0xfafa, "x"));
  EXPECT_EQ(Parse(InRecord(Message(extensions)), &hello), State::kHello);
  EXPECT_THAT(hello.alpn, ElementsAre("\x1a\x1a", "istio"));
}

TEST(ClientHelloTest, OldClientsMayHaveNoExtensions) {
  EXPECT_EQ(Parse(InRecord(Message("", /*with_extensions=*/false))), State::kHello);
  EXPECT_EQ(Parse(InRecord(Message(""))), State::kHello);
}

TEST(ClientHelloTest, TheFirstByteThatCannotBeTlsDecides) {
  for (const char* text : {"G", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n", "\x15", "\x17"}) {
    EXPECT_EQ(Parse(text), State::kNotTls) << text;
  }
  EXPECT_EQ(Parse("\x16\x02"), State::kNotTls);
  EXPECT_EQ(Parse("\x16\x03\x05"), State::kNotTls);
  EXPECT_EQ(Parse(std::string("\x16\x03\x01\0\0", 5)), State::kNotTls);
  EXPECT_EQ(Parse("\x16\x03\x01\x40\x01"), State::kNotTls);
  // Another handshake message.
  EXPECT_EQ(Parse(std::string("\x16\x03\x01\0\x10\x02", 6)), State::kNotTls);
  EXPECT_EQ(Parse(""), State::kNeedMore);
}

TEST(ClientHelloTest, WhatBeginsLikeAHelloAndIsNoneIsMalformed) {
  const std::string good = Message(Alpn({"istio"}));
  // Between the records of one message only its own.
  std::string broken = Refragment(InRecord(good), 20);
  broken[25] = 23;
  EXPECT_EQ(Parse(broken), State::kMalformed);
  // An empty record behind the first.
  EXPECT_EQ(Parse(InRecord(good.substr(0, 10)) + std::string("\x16\x03\x01\0\0", 5)),
            State::kMalformed);
  for (const std::string& extensions :
       {Extension(16, ""), Extension(16, std::string(2, '\0')), Extension(16, "\1"),
        Extension(16, std::string("\0\2\0\1", 4)), Extension(16, std::string("\0\3\5ab", 5)),
        Alpn({"a"}) + Alpn({"istio"}), Name("a") + Name("b"), Name(""), Alpn({"a"}).substr(0, 6),
        Extension(0, std::string("\0\0", 2)), std::string("\0", 1)}) {
    EXPECT_EQ(Parse(InRecord(Message(extensions))), State::kMalformed);
  }
  // More behind the extensions than they say.
  std::string longer = good + "x";
  ++longer[3];
  EXPECT_EQ(Parse(InRecord(longer)), State::kMalformed);
}

TEST(ClientHelloTest, TheLargestIs16KiB) {
  const size_t overhead = Message(Extension(21, "")).size();
  const std::string largest =
      Message(Extension(21, std::string(ClientHelloParser::kMaxMessage - overhead, 'p')));
  ASSERT_THAT(largest, SizeIs(ClientHelloParser::kMaxMessage));
  EXPECT_EQ(Parse(InRecord(largest)), State::kHello);
  EXPECT_EQ(Parse(Refragment(InRecord(largest), 1)), State::kHello);
  // Known from the message's length, before its content has come.
  EXPECT_EQ(Parse(std::string("\x16\x03\x01\x40\0\1\0\x3f\xfd", 9)), State::kMalformed);
  EXPECT_EQ(Parse(std::string("\x16\x03\x01\x40\0\1\xff\xff\xff", 9)), State::kMalformed);
}

}  // namespace
}  // namespace byrnie
