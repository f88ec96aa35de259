// Peers and networks that mean harm: every one of them ends in an error, soon, and never in a clean
// end or in a loop that spins.
#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/check.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/session_fault.h"
#include "common/tls/testing/hostile_network.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/raw_tls_client.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/aead.h"
#include "openssl/hkdf.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TlsHostileTest : public HostileNetworkTest {};

// An alert in the clear after each number of records: nobody has authenticated it, whatever it
// says.
TEST_F(TlsHostileTest, NoForgedAlertAtAnyStepMakesACleanEnd) {
  const std::vector<std::string> alerts = {
      Alert(SSL3_AL_FATAL, SSL_AD_HANDSHAKE_FAILURE), Alert(SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY),
      Alert(SSL3_AL_FATAL, SSL_AD_CLOSE_NOTIFY), Alert(0, 255), Record(SSL3_RT_ALERT, "\1")};
  for (const TlsRole role : {TlsRole::kClient, TlsRole::kServer}) {
    for (const std::string& alert : alerts) {
      bool completed = false;
      for (int step = 0; !completed; ++step) {
        SCOPED_TRACE(absl::StrCat(role == TlsRole::kClient ? "client" : "server", ", step ", step));
        ASSERT_LT(step, 30);
        Middle middle(&loop_);
        Victim client(&loop_, middle.TakeClientEnd(), client_context_);
        Victim server(&loop_, middle.TakeServerEnd(), server_context_);
        Settle();
        for (int i = 0; i < step && !completed; ++i) {
          completed = !middle.PassOne();
          Settle();
        }
        Victim& victim = role == TlsRole::kClient ? client : server;
        Send(middle.to(role), alert);
        // A half of an alert is waited for, but not longer than the transport lives.
        middle.to(role)->ShutdownWrite();
        Settle();
        EXPECT_TRUE(victim.ended());
        EXPECT_NE(victim.last_read(), IoStatus::kEof);
        EXPECT_THAT(victim.why(), Not(IsOk()));
      }
    }
  }
}

TEST_F(TlsHostileTest, EndsAPeerThatOnlyWarns) {
  MemoryStreamPair pair(&loop_);
  const std::unique_ptr<Victim> server = StartServer(&pair);
  const std::unique_ptr<ByteStream> peer = pair.TakeA();
  std::string flood;
  for (int i = 0; i < 100; ++i) flood += Alert(SSL3_AL_WARNING, SSL_AD_USER_CANCELLED);
  Send(peer.get(), flood);
  Settle();
  EXPECT_TRUE(server->ended());
}

TEST_F(TlsHostileTest, EndsAPeerThatSendsEmptyRecordsInsteadOfAHandshake) {
  for (const uint8_t type : {SSL3_RT_HANDSHAKE, SSL3_RT_APPLICATION_DATA, SSL3_RT_ALERT}) {
    MemoryStreamPair pair(&loop_);
    const std::unique_ptr<Victim> server = StartServer(&pair);
    const std::unique_ptr<ByteStream> peer = pair.TakeA();
    std::string flood;
    for (int i = 0; i < 1000; ++i) flood += Record(type, "");
    Send(peer.get(), flood);
    Settle();
    EXPECT_TRUE(server->ended()) << static_cast<int>(type);
  }
}

TEST_F(TlsHostileTest, SurvivesAClientHelloCutAtEveryByte) {
  const std::string hello = CaptureClientHello();
  ASSERT_GT(hello.size(), 1000u) << "with a key share of ML-KEM";
  for (size_t cut = 0; cut < hello.size(); ++cut) {
    MemoryStreamPair pair(&loop_);
    const std::unique_ptr<Victim> server = StartServer(&pair);
    const std::unique_ptr<ByteStream> peer = pair.TakeA();
    if (cut > 0) Send(peer.get(), absl::string_view(hello).substr(0, cut));
    peer->ShutdownWrite();
    Settle();
    ASSERT_THAT(server->why(), StatusIs(absl::StatusCode::kUnavailable)) << cut;
  }
}

TEST_F(TlsHostileTest, WaitsForTheRestOfACutClientHelloUntilTheDeadlineAlone) {
  const std::string hello = CaptureClientHello();
  for (size_t cut : {size_t{0}, size_t{1}, kRecordHeader, kRecordHeader + 1, hello.size() - 1}) {
    MemoryStreamPair pair(&loop_);
    const std::unique_ptr<Victim> server = StartServer(&pair);
    const std::unique_ptr<ByteStream> peer = pair.TakeA();
    if (cut > 0) Send(peer.get(), absl::string_view(hello).substr(0, cut));
    Settle();
    EXPECT_FALSE(server->done()) << cut;
    loop_.AdvanceTime(absl::Seconds(6));
    EXPECT_THAT(server->why(), StatusIs(absl::StatusCode::kDeadlineExceeded)) << cut;
  }
}

TEST_F(TlsHostileTest, TakesAClientHelloInRecordsOfOneByte) {
  Middle middle(&loop_);
  Victim client(&loop_, middle.TakeClientEnd(), client_context_);
  Victim server(&loop_, middle.TakeServerEnd(), server_context_);
  Settle();
  ASSERT_TRUE(middle.PassOne(/*in_pieces=*/true));
  Settle();
  while (middle.PassOne()) Settle();
  EXPECT_THAT(client.why(), IsOk());
  EXPECT_THAT(server.why(), IsOk());
  EXPECT_TRUE(client.done() && server.done());
}

TEST_F(TlsHostileTest, RefusesChangedBytesAnywhereInTheServersFlight) {
  // One bit of each record's first, middle and last byte of content.
  for (const int where : {0, 1, 2}) {
    for (int step = 1; step < 4; ++step) {
      SCOPED_TRACE(absl::StrCat("record ", step, ", place ", where));
      Middle middle(&loop_);
      Victim client(&loop_, middle.TakeClientEnd(), client_context_);
      Victim server(&loop_, middle.TakeServerEnd(), server_context_);
      Settle();
      ASSERT_TRUE(middle.PassOne());
      Settle();
      std::string flight = ReadAll(middle.to(TlsRole::kServer));
      std::string record;
      for (int i = 0; i < step; ++i) {
        if (i > 0) Send(middle.to(TlsRole::kClient), record);
        record = TakeRecord(&flight);
      }
      if (record.empty()) break;
      const size_t content = record.size() - kRecordHeader;
      const size_t at = kRecordHeader + (where == 0 ? 0 : where == 1 ? content / 2 : content - 1);
      record[at] = static_cast<char>(record[at] ^ 0x10);
      Send(middle.to(TlsRole::kClient), record + flight);
      Settle();
      EXPECT_TRUE(client.ended());
    }
  }
}

class RawPeerTest : public TlsHostileTest {
 protected:
  enum class Ciphers { kAll, kAesOnly };

  void Connect(const TestIdentity& identity, Ciphers ciphers = Ciphers::kAll) {
    server_.reset();
    raw_.reset();
    pair_ = std::make_unique<MemoryStreamPair>(&loop_);
    server_ = StartServer(pair_.get());
    raw_ = std::make_unique<RawTlsClient>(pair_->TakeA());
    raw_->Use(identity);
    if (ciphers == Ciphers::kAesOnly) {
      // Leaves ChaCha20 out of the offer, which servers without AES instructions prefer; of the two
      // that remain the client's first, AES-128, is taken on every machine.
      CHECK(SSL_CTX_set_compliance_policy(raw_->context(), ssl_compliance_policy_fips_202205));
    }
    raw_->Begin();
    for (int i = 0; i < 6; ++i) {
      raw_->Pump();
      Settle();
    }
  }
  std::string EmptyRecord(uint64_t sequence) const { return DataRecord(sequence, ""); }
  // An application record of ours, as the one after `sequence` others.
  std::string DataRecord(uint64_t sequence, absl::string_view data) const {
    // TLS_AES_128_GCM_SHA256 (RFC 8446 sections 5.2, 5.3 and 7.3).
    const std::string content = absl::StrCat(data, std::string(1, SSL3_RT_APPLICATION_DATA));
    const std::string header =
        Record(SSL3_RT_APPLICATION_DATA, std::string(content.size() + 16, '\0'))
            .substr(0, kRecordHeader);
    const std::string key = Expand("key", 16);
    std::string nonce = Expand("iv", 12);
    for (int i = 0; i < 8; ++i)
      nonce[11 - i] = static_cast<char>(nonce[11 - i] ^ (sequence >> 8 * i));
    std::string sealed(content.size() + 16, '\0');
    size_t size = 0;
    bssl::ScopedEVP_AEAD_CTX aead;
    CHECK(EVP_AEAD_CTX_init(aead.get(), EVP_aead_aes_128_gcm(), U8(key), key.size(), 16, nullptr));
    CHECK(EVP_AEAD_CTX_seal(aead.get(), reinterpret_cast<uint8_t*>(&sealed[0]), &size,
                            sealed.size(), U8(nonce), nonce.size(), U8(content), content.size(),
                            U8(header), header.size()));
    return header + sealed;
  }

  std::unique_ptr<MemoryStreamPair> pair_ = std::make_unique<MemoryStreamPair>(&loop_);
  std::unique_ptr<Victim> server_;
  std::unique_ptr<RawTlsClient> raw_;

 private:
  static const uint8_t* U8(const std::string& text) {
    return reinterpret_cast<const uint8_t*>(text.data());
  }
  std::string Expand(absl::string_view label, size_t size) const {
    const std::string full = absl::StrCat("tls13 ", label);
    std::string info = {0, static_cast<char>(size), static_cast<char>(full.size())};
    info += full;
    info.push_back(0);
    std::string out(size, '\0');
    CHECK(HKDF_expand(reinterpret_cast<uint8_t*>(&out[0]), size, EVP_sha256(),
                      U8(raw_->write_secret()), raw_->write_secret().size(), U8(info),
                      info.size()));
    return out;
  }
};

TEST_F(RawPeerTest, WithFiveCertificatesIsRefused) {
  const TestCa one = ca_.MakeIntermediate(ca_.IntermediateSpec());
  const TestCa two = one.MakeIntermediate(one.IntermediateSpec());
  const TestCa three = two.MakeIntermediate(two.IntermediateSpec());
  const TestCa four = three.MakeIntermediate(three.IntermediateSpec());
  const TestIdentity identity = four.IssueSvid("/long");
  ASSERT_EQ(identity.chain.size(), 5u);
  Connect(identity);
  EXPECT_THAT(server_->why(), StatusIs(absl::StatusCode::kUnauthenticated,
                                       HasSubstr("presented 5 certificates; at most 4")));
}

TEST_F(RawPeerTest, WithFourCertificatesIsTaken) {
  const TestCa one = ca_.MakeIntermediate(ca_.IntermediateSpec());
  const TestCa two = one.MakeIntermediate(one.IntermediateSpec());
  const TestCa three = two.MakeIntermediate(two.IntermediateSpec());
  Connect(three.IssueSvid("/long"));
  EXPECT_THAT(server_->why(), IsOk());
}

TEST_F(RawPeerTest, WithMoreThan16KiBOfCertificatesIsRefusedUnread) {
  CertificateSpec spec = ca_.SvidSpec("/fat");
  for (int i = 0; i < 150; ++i) {
    spec.dns_sans.push_back(absl::StrCat(std::string(40, 'x'), i, ".example"));
  }
  TestIdentity identity = ca_.Issue(spec);
  const size_t each = identity.chain[0]->der().size();
  ASSERT_LT(each, Certificate::kMaxDerSize);
  while (identity.chain.size() * each <= 16 * 1024) identity.chain.push_back(identity.chain[0]);
  ASSERT_LE(identity.chain.size(), 4u) << "the size alone is too much";
  Connect(identity);
  EXPECT_THAT(server_->why(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("excessive message size")));
}

TEST_F(RawPeerTest, ThatFloodsEmptyRecordsIsEnded) {
  Connect(ca_.IssueSvid("/raw"), Ciphers::kAesOnly);
  ASSERT_THAT(server_->why(), IsOk());
  ASSERT_EQ(SSL_CIPHER_get_id(SSL_get_current_cipher(raw_->ssl())), TLS1_CK_AES_128_GCM_SHA256);
  // A few are legal, and prove that the records are good ones.
  Send(raw_->transport(), EmptyRecord(0) + EmptyRecord(1));
  Settle();
  ASSERT_THAT(server_->why(), IsOk());
  std::string flood;
  for (uint64_t i = 2; i < 1000; ++i) flood += EmptyRecord(i);
  Send(raw_->transport(), flood);
  Settle();
  EXPECT_TRUE(server_->ended());
  EXPECT_THAT(server_->why(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("too many empty fragments")));
  EXPECT_EQ(SessionFaultOf(server_->why()), SessionFault::kFlood);
}

// A byte between them resets BoringSSL's own count.
TEST_F(RawPeerTest, ThatFloodsEmptyRecordsWithAByteBetweenIsEnded) {
  Connect(ca_.IssueSvid("/raw"), Ciphers::kAesOnly);
  ASSERT_THAT(server_->why(), IsOk());
  ASSERT_EQ(SSL_CIPHER_get_id(SSL_get_current_cipher(raw_->ssl())), TLS1_CK_AES_128_GCM_SHA256);
  std::string flood;
  for (uint64_t i = 0; i < 2000; i += 2) flood += EmptyRecord(i) + DataRecord(i + 1, "x");
  Send(raw_->transport(), flood);
  Settle();
  EXPECT_TRUE(server_->ended());
  EXPECT_THAT(server_->why(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("records without data")));
  EXPECT_EQ(SessionFaultOf(server_->why()), SessionFault::kFlood);
  EXPECT_LE(server_->bytes_read(), 101u);
}

TEST_F(RawPeerTest, WhoseRecordsAreNotSealedBreaksTheRules) {
  const std::string records[] = {
      Record(SSL3_RT_APPLICATION_DATA, "in the clear"), Record(SSL3_RT_HANDSHAKE, "in the clear"),
      Record(SSL3_RT_APPLICATION_DATA, std::string(100, 'x')), "GET / HTTP/1.1\r\n"};
  for (const std::string& record : records) {
    Connect(ca_.IssueSvid("/raw"));
    ASSERT_THAT(server_->why(), IsOk());
    Send(raw_->transport(), record);
    Settle();
    EXPECT_TRUE(server_->ended());
    EXPECT_EQ(SessionFaultOf(server_->why()), SessionFault::kProtocol) << server_->why();
  }
}

TEST_F(RawPeerTest, MaySendAnyNumberOfTinyRecordsAndNowAndThenAnEmptyOne) {
  Connect(ca_.IssueSvid("/raw"), Ciphers::kAesOnly);
  ASSERT_THAT(server_->why(), IsOk());
  ASSERT_EQ(SSL_CIPHER_get_id(SSL_get_current_cipher(raw_->ssl())), TLS1_CK_AES_128_GCM_SHA256);
  uint64_t sequence = 0;
  for (int second = 0; second < 5; ++second) {
    for (int i = 0; i < 50; ++i) {
      std::string burst = EmptyRecord(sequence++);
      for (int j = 0; j < 50; ++j) burst += DataRecord(sequence++, "x");
      Send(raw_->transport(), burst);
      Settle();
    }
    loop_.AdvanceTime(absl::Seconds(1));
  }
  EXPECT_THAT(server_->why(), IsOk());
  EXPECT_EQ(server_->bytes_read(), 5u * 50 * 50);
}

TEST_F(RawPeerTest, ThatSendsAFatalAlertEndsTheStreamWithItsReason) {
  Connect(ca_.IssueSvid("/raw"));
  ASSERT_THAT(server_->why(), IsOk());
  SSL_send_fatal_alert(raw_->ssl(), SSL_AD_INTERNAL_ERROR);
  raw_->Pump();
  Settle();
  EXPECT_EQ(server_->last_read(), IoStatus::kError);
  EXPECT_THAT(server_->why(), Not(IsOk()));
  EXPECT_EQ(SessionFaultOf(server_->why()), SessionFault::kNone) << "it has said why";
}

TEST_F(RawPeerTest, ThatGivesUpInMidHandshakeIsReported) {
  server_ = StartServer(pair_.get());
  raw_ = std::make_unique<RawTlsClient>(pair_->TakeA());
  raw_->Use(ca_.IssueSvid("/raw"));
  raw_->Begin();
  raw_->Pump();
  Settle();
  // In the clear: this client has not seen the answer to its hello yet.
  SSL_send_fatal_alert(raw_->ssl(), SSL_AD_USER_CANCELLED);
  raw_->Pump();
  Settle();
  EXPECT_TRUE(server_->ended());
}

}  // namespace
}  // namespace byrnie
