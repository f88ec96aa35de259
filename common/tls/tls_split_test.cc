// A handshake cut, split and mutilated: it ends when the network does, waits no longer than its
// deadline, never spins, and tells the other end why with the right alert.
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/hostile_network.h"
#include "common/tls/testing/raw_tls_client.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

using ::testing::Not;

// The ends of a handshake that has come as far as `role` waiting for the peer's whole flight.
struct Stage {
  explicit Stage(EventLoop* loop) : middle(loop) {}
  Middle middle;
  std::unique_ptr<Victim> client, server;
  std::string flight;  // Not given to the victim yet.
};

class TlsSplitTest : public HostileNetworkTest {
 protected:
  // Client: waits for ServerHello to Finished. Server: for Certificate to Finished.
  std::unique_ptr<Stage> Reach(TlsRole role) {
    auto stage = std::make_unique<Stage>(&loop_);
    stage->client =
        std::make_unique<Victim>(&loop_, stage->middle.TakeClientEnd(), client_context_);
    stage->server =
        std::make_unique<Victim>(&loop_, stage->middle.TakeServerEnd(), server_context_);
    Settle();
    Send(stage->middle.to(TlsRole::kServer), ReadAll(stage->middle.to(TlsRole::kClient)));
    Settle();
    stage->flight = ReadAll(stage->middle.to(TlsRole::kServer));
    if (role == TlsRole::kClient) return stage;
    Send(stage->middle.to(TlsRole::kClient), stage->flight);
    Settle();
    stage->flight = ReadAll(stage->middle.to(TlsRole::kClient));
    return stage;
  }
  static Victim& VictimOf(const Stage& stage, TlsRole role) {
    return role == TlsRole::kClient ? *stage.client : *stage.server;
  }
};

TEST_F(TlsSplitTest, EveryPrefixOfEitherFlightEndsWithTheTransport) {
  for (const TlsRole role : {TlsRole::kClient, TlsRole::kServer}) {
    size_t cuts = 0;
    for (size_t cut = 0;; ++cut) {
      SCOPED_TRACE(absl::StrCat(role == TlsRole::kClient ? "client" : "server", ", cut at ", cut));
      const std::unique_ptr<Stage> stage = Reach(role);
      if (cut >= stage->flight.size()) break;
      ByteStream* const to = stage->middle.to(role);
      if (cut > 0) Send(to, absl::string_view(stage->flight).substr(0, cut));
      to->ShutdownWrite();
      Settle();
      const Victim& victim = VictimOf(*stage, role);
      ASSERT_TRUE(victim.ended());
      ASSERT_NE(victim.last_read(), IoStatus::kEof);
      ASSERT_THAT(victim.why(), StatusIs(absl::StatusCode::kUnavailable));
      ++cuts;
    }
    EXPECT_GT(cuts, 500u);
  }
}

TEST_F(TlsSplitTest, EveryPrefixOfEitherFlightIsWaitedForUntilTheDeadlineAlone) {
  for (const TlsRole role : {TlsRole::kClient, TlsRole::kServer}) {
    // Every step of records and messages is between two of these.
    for (size_t cut = 0;; cut += 7) {
      SCOPED_TRACE(absl::StrCat(role == TlsRole::kClient ? "client" : "server", ", cut at ", cut));
      const std::unique_ptr<Stage> stage = Reach(role);
      if (cut >= stage->flight.size()) break;
      if (cut > 0) {
        Send(stage->middle.to(role), absl::string_view(stage->flight).substr(0, cut));
      }
      Settle();
      const Victim& victim = VictimOf(*stage, role);
      ASSERT_FALSE(victim.done());
      // Not one turn of work while nothing comes.
      EXPECT_FALSE(loop_.RunOnce());
      loop_.AdvanceTime(absl::Seconds(6));
      ASSERT_THAT(victim.why(), StatusIs(absl::StatusCode::kDeadlineExceeded));
    }
  }
}

TEST_F(TlsSplitTest, EitherFlightMayComeByteByByte) {
  for (const TlsRole role : {TlsRole::kClient, TlsRole::kServer}) {
    const std::unique_ptr<Stage> stage = Reach(role);
    for (const char byte : stage->flight) {
      ASSERT_FALSE(VictimOf(*stage, role).done());
      Send(stage->middle.to(role), absl::string_view(&byte, 1));
      Settle();
    }
    while (stage->middle.PassOne()) Settle();
    EXPECT_THAT(stage->client->why(), IsOk());
    EXPECT_THAT(stage->server->why(), IsOk());
  }
}

TEST_F(TlsSplitTest, TakesAServerHelloInRecordsOfOneByte) {
  const std::unique_ptr<Stage> stage = Reach(TlsRole::kClient);
  std::string rest = stage->flight;
  const std::string hello = TakeRecord(&rest);
  ASSERT_EQ(hello[0], SSL3_RT_HANDSHAKE);
  for (const char byte : hello.substr(kRecordHeader)) {
    Send(stage->middle.to(TlsRole::kClient),
         Record(SSL3_RT_HANDSHAKE, absl::string_view(&byte, 1)));
    Settle();
  }
  Send(stage->middle.to(TlsRole::kClient), rest);
  Settle();
  while (stage->middle.PassOne()) Settle();
  EXPECT_THAT(stage->client->why(), IsOk());
  EXPECT_THAT(stage->server->why(), IsOk());
}

// The end of a TCP connection that nobody authenticated, wherever in the stream it comes.
TEST_F(TlsSplitTest, AnEndWithoutCloseNotifyIsATruncationAtEveryByte) {
  constexpr absl::string_view kData = "twenty bytes of data";
  for (size_t cut = 0;; ++cut) {
    SCOPED_TRACE(absl::StrCat("cut at ", cut));
    MemoryStreamPair pair(&loop_);
    RawTlsClient raw(pair.TakeA());
    const std::unique_ptr<Victim> server = StartServer(&pair);
    raw.Use(ca_.IssueSvid("/raw"));
    raw.Begin();
    for (int i = 0; i < 6; ++i) {
      raw.Pump();
      Settle();
    }
    ASSERT_THAT(server->why(), IsOk());
    const uint64_t before = pair.bytes_sent(MemoryStreamPair::Side::kA);
    pair.Truncate(MemoryStreamPair::Side::kA, cut);
    ASSERT_EQ(SSL_write(raw.ssl(), kData.data(), static_cast<int>(kData.size())),
              static_cast<int>(kData.size()));
    SSL_shutdown(raw.ssl());
    raw.Pump();
    Settle();
    if (cut >= pair.bytes_sent(MemoryStreamPair::Side::kA) - before) {
      EXPECT_EQ(server->last_read(), IoStatus::kEof) << "all of it came";
      break;
    }
    ASSERT_EQ(server->last_read(), IoStatus::kError);
    ASSERT_THAT(server->why(), StatusIs(absl::StatusCode::kDataLoss));
  }
}

class AlertTest : public HostileNetworkTest {
 protected:
  // The alert a server ends `raw` with; 0 for none.
  int AlertFor(const TestIdentity* identity, bool with_alpn = true,
               uint16_t max_version = TLS1_3_VERSION) {
    MemoryStreamPair pair(&loop_);
    const std::unique_ptr<Victim> server = StartServer(&pair);
    RawTlsClient raw(pair.TakeA());
    if (identity != nullptr) raw.Use(*identity);
    SSL_CTX_set_max_proto_version(raw.context(), max_version);
    SSL_CTX_set_info_callback(raw.context(), Remember);
    heard_ = 0;
    raw.Begin(with_alpn);
    for (int i = 0; i < 8; ++i) {
      raw.Pump();
      Settle();
    }
    EXPECT_THAT(server->why(), Not(IsOk()));
    return heard_;
  }
  // The alert in the clear that answers `bytes`; -1 for anything else.
  int AlertAfter(absl::string_view bytes) {
    MemoryStreamPair pair(&loop_);
    const std::unique_ptr<Victim> server = StartServer(&pair);
    const std::unique_ptr<ByteStream> peer = pair.TakeA();
    Send(peer.get(), bytes);
    Settle();
    EXPECT_TRUE(server->ended());
    const std::string answer = ReadAll(peer.get());
    if (answer.size() != kRecordHeader + 2 || answer[0] != SSL3_RT_ALERT) return -1;
    return static_cast<uint8_t>(answer[kRecordHeader + 1]);
  }

 private:
  static void Remember(const SSL* /*ssl*/, int type, int value) {
    if (type == SSL_CB_READ_ALERT) heard_ = value & 0xff;
  }
  static int heard_;
};
int AlertTest::heard_ = 0;

// RFC 8446 section 6.2.
TEST_F(AlertTest, SaysWhatIsWrongWithACertificate) {
  EXPECT_EQ(AlertFor(nullptr), SSL_AD_CERTIFICATE_REQUIRED);
  const TestIdentity good = ca_.IssueSvid("/good");
  EXPECT_EQ(AlertFor(&good, /*with_alpn=*/false), SSL_AD_NO_APPLICATION_PROTOCOL);
  EXPECT_EQ(AlertFor(&good, /*with_alpn=*/true, TLS1_2_VERSION), SSL_AD_PROTOCOL_VERSION);
  const TestCa stranger("td", start_);
  const TestIdentity unknown = stranger.IssueSvid("/unknown");
  EXPECT_EQ(AlertFor(&unknown), SSL_AD_UNKNOWN_CA);
  CertificateSpec spec = ca_.SvidSpec("/expired");
  spec.not_before = start_ - absl::Hours(2);
  spec.not_after = start_ - absl::Hours(1);
  const TestIdentity expired = ca_.Issue(spec);
  EXPECT_EQ(AlertFor(&expired), SSL_AD_CERTIFICATE_EXPIRED);
  CertificateSpec two = ca_.SvidSpec("/two");
  two.uri_sans.push_back("spiffe://td/three");
  const TestIdentity ambiguous = ca_.Issue(two);
  EXPECT_EQ(AlertFor(&ambiguous), SSL_AD_BAD_CERTIFICATE);
}

TEST_F(AlertTest, SaysWhatIsWrongWithTheFirstBytes) {
  const std::string hello = CaptureClientHello();
  EXPECT_EQ(AlertAfter(Record(SSL3_RT_APPLICATION_DATA, "before any key")),
            SSL_AD_UNEXPECTED_MESSAGE);
  std::string finished = hello;
  finished[kRecordHeader] = SSL3_MT_FINISHED;
  EXPECT_EQ(AlertAfter(finished), SSL_AD_UNEXPECTED_MESSAGE);
  // A session id longer than any may be.
  std::string bent = hello;
  bent[kRecordHeader + 4 + 2 + 32] = '\x7f';
  EXPECT_EQ(AlertAfter(bent), SSL_AD_DECODE_ERROR);
  // More than a record may hold (RFC 8446 section 5.1).
  EXPECT_EQ(AlertAfter(std::string("\x16\x03\x01\xff\xff", 5) + std::string(1000, 'x')),
            SSL_AD_RECORD_OVERFLOW);
}

}  // namespace
}  // namespace byrnie
