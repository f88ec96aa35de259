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

constexpr size_t kRecordHeader = 5;
// Turns in which something may still run after one thing has happened to a connection.
constexpr int kMaxTurns = 50;

void Send(ByteStream* stream, absl::string_view bytes) {
  const IoResult result = stream->Write(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  EXPECT_EQ(result.bytes, bytes.size());
}

std::string ReadAll(ByteStream* stream) {
  std::string bytes;
  uint8_t buffer[4096];
  while (true) {
    const IoResult result = stream->Read(absl::MakeSpan(buffer));
    if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return bytes;
    bytes.append(reinterpret_cast<char*>(buffer), result.bytes);
    if (result.bytes == 0) return bytes;
  }
}

// A record (RFC 8446 section 5.1) in the clear.
std::string Record(uint8_t type, absl::string_view content) {
  std::string record = {static_cast<char>(type), 3, 3, static_cast<char>(content.size() >> 8),
                        static_cast<char>(content.size() & 0xff)};
  return absl::StrCat(record, content);
}

std::string Alert(uint8_t level, uint8_t description) {
  return Record(SSL3_RT_ALERT,
                std::string{static_cast<char>(level), static_cast<char>(description)});
}

// Takes the first whole record off `bytes`; empty when there is none.
std::string TakeRecord(std::string* bytes) {
  if (bytes->size() < kRecordHeader) return "";
  const size_t size = kRecordHeader + static_cast<uint8_t>((*bytes)[3]) * size_t{256} +
                      static_cast<uint8_t>((*bytes)[4]);
  if (bytes->size() < size) return "";
  std::string record = bytes->substr(0, size);
  bytes->erase(0, size);
  return record;
}

class Victim final : public ByteStream::Observer {
 public:
  Victim(EventLoop* loop, std::unique_ptr<ByteStream> transport,
         std::shared_ptr<const TlsContext> context) {
    stream_ = TlsStream::Create(loop, std::move(transport), std::move(context), {},
                                [this](absl::Status status) { handshake_ = std::move(status); });
    stream_->SetObserver(this);
  }
  void OnReadable() override {
    uint8_t buffer[4096];
    do {
      last_read_ = stream_->Read(absl::MakeSpan(buffer)).status;
    } while (last_read_ == IoStatus::kOk);
  }
  void OnWritable() override {}

  bool done() const { return handshake_.has_value(); }
  // Refused during the handshake or broken after it, and never a clean end.
  bool ended() const { return done() && (!handshake_->ok() || last_read_ == IoStatus::kError); }
  absl::Status why() const {
    if (!done()) return absl::UnknownError("still handshaking");
    return handshake_->ok() ? stream_->error() : *handshake_;
  }
  IoStatus last_read() const { return last_read_; }

 private:
  std::unique_ptr<TlsStream> stream_;
  absl::optional<absl::Status> handshake_;
  IoStatus last_read_ = IoStatus::kWouldBlock;
};

class TlsHostileTest : public ::testing::Test {
 protected:
  TlsHostileTest()
      : start_(loop_.WallNow()),
        ca_("td", start_),
        client_context_(Context(TlsRole::kClient)),
        server_context_(Context(TlsRole::kServer)) {}

  std::shared_ptr<const TlsContext> Context(TlsRole role) {
    const TestIdentity identity = ca_.IssueSvid("/a");
    signer_.AddKey(identity);
    absl::StatusOr<IdentitySnapshotPtr> snapshot =
        IdentitySnapshot::Create(1, identity.chain, ca_.Bundles(), start_);
    CHECK_OK(snapshot);
    absl::StatusOr<std::shared_ptr<const TlsContext>> context =
        TlsContext::Create(role, "test", *snapshot, &signer_);
    CHECK_OK(context);
    return *context;
  }
  std::unique_ptr<Victim> StartServer(MemoryStreamPair* pair) {
    return std::make_unique<Victim>(&loop_, pair->TakeB(), server_context_);
  }
  // Runs until idle, which must be soon.
  void Settle() {
    int turns = 0;
    while (turns <= kMaxTurns && loop_.RunOnce()) ++turns;
    ASSERT_LE(turns, kMaxTurns) << "the loop spins";
  }
  std::string CaptureClientHello() {
    MemoryStreamPair pair(&loop_);
    Victim client(&loop_, pair.TakeA(), client_context_);
    Settle();
    const std::unique_ptr<ByteStream> end = pair.TakeB();
    return ReadAll(end.get());
  }

  ManualEventLoop loop_;
  LocalSigner signer_;
  const absl::Time start_;
  const TestCa ca_;
  const std::shared_ptr<const TlsContext> client_context_, server_context_;
};

// Somebody between a client and a server who sees records and may add some of their own.
class Middle {
 public:
  explicit Middle(EventLoop* loop) : client_side_(loop), server_side_(loop) {
    to_client_ = client_side_.TakeB();
    to_server_ = server_side_.TakeA();
  }
  std::unique_ptr<ByteStream> TakeClientEnd() { return client_side_.TakeA(); }
  std::unique_ptr<ByteStream> TakeServerEnd() { return server_side_.TakeB(); }
  ByteStream* to(TlsRole role) {
    return role == TlsRole::kClient ? to_client_.get() : to_server_.get();
  }

  // Passes one record on; false when there is none. `pieces`: each byte of it in its own record.
  bool PassOne(bool in_pieces = false) {
    from_client_ += ReadAll(to_client_.get());
    from_server_ += ReadAll(to_server_.get());
    for (const TlsRole to_role : {TlsRole::kServer, TlsRole::kClient}) {
      const std::string record =
          TakeRecord(to_role == TlsRole::kServer ? &from_client_ : &from_server_);
      if (record.empty()) continue;
      if (!in_pieces) {
        Send(to(to_role), record);
      } else {
        for (size_t i = kRecordHeader; i < record.size(); ++i) {
          Send(to(to_role), Record(static_cast<uint8_t>(record[0]), record.substr(i, 1)));
        }
      }
      return true;
    }
    return false;
  }

 private:
  MemoryStreamPair client_side_, server_side_;
  std::unique_ptr<ByteStream> to_client_, to_server_;
  std::string from_client_, from_server_;
};

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
  void Connect(const TestIdentity& identity) {
    server_ = StartServer(&pair_);
    raw_ = std::make_unique<RawTlsClient>(pair_.TakeA());
    raw_->Use(identity);
    raw_->Begin();
    for (int i = 0; i < 6; ++i) {
      raw_->Pump();
      Settle();
    }
  }
  // An application record of ours without content, as the one after `sequence` others.
  std::string EmptyRecord(uint64_t sequence) const {
    // TLS_AES_128_GCM_SHA256 (RFC 8446 sections 5.2, 5.3 and 7.3).
    const std::string header = Record(SSL3_RT_APPLICATION_DATA, std::string(17, '\0')).substr(0, 5);
    const std::string key = Expand("key", 16);
    std::string nonce = Expand("iv", 12);
    for (int i = 0; i < 8; ++i)
      nonce[11 - i] = static_cast<char>(nonce[11 - i] ^ (sequence >> 8 * i));
    const uint8_t content[] = {SSL3_RT_APPLICATION_DATA};
    uint8_t sealed[17];
    size_t size = 0;
    bssl::ScopedEVP_AEAD_CTX aead;
    CHECK(EVP_AEAD_CTX_init(aead.get(), EVP_aead_aes_128_gcm(), U8(key), key.size(), 16, nullptr));
    CHECK(EVP_AEAD_CTX_seal(aead.get(), sealed, &size, sizeof(sealed), U8(nonce), nonce.size(),
                            content, sizeof(content), U8(header), header.size()));
    return header + std::string(reinterpret_cast<char*>(sealed), size);
  }

  MemoryStreamPair pair_{&loop_};
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
  Connect(ca_.IssueSvid("/raw"));
  ASSERT_THAT(server_->why(), IsOk());
  if (SSL_CIPHER_get_id(SSL_get_current_cipher(raw_->ssl())) != TLS1_CK_AES_128_GCM_SHA256) {
    GTEST_SKIP() << "this machine prefers another cipher than AES-128-GCM";
  }
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
}

TEST_F(RawPeerTest, ThatSendsAFatalAlertEndsTheStreamWithItsReason) {
  Connect(ca_.IssueSvid("/raw"));
  ASSERT_THAT(server_->why(), IsOk());
  SSL_send_fatal_alert(raw_->ssl(), SSL_AD_INTERNAL_ERROR);
  raw_->Pump();
  Settle();
  EXPECT_EQ(server_->last_read(), IoStatus::kError);
  EXPECT_THAT(server_->why(), Not(IsOk()));
}

TEST_F(RawPeerTest, ThatGivesUpInMidHandshakeIsReported) {
  server_ = StartServer(&pair_);
  raw_ = std::make_unique<RawTlsClient>(pair_.TakeA());
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
