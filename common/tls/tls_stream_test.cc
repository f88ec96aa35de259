#include "common/tls/tls_stream.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/handshake_fault.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/raw_tls_client.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Side = MemoryStreamPair::Side;

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// One end of a TLS connection with a reader that takes what comes and a writer that sends
// `to_send`.
class Endpoint final : public ByteStream::Observer {
 public:
  void Start(EventLoop* loop, std::unique_ptr<ByteStream> transport,
             std::shared_ptr<const TlsContext> context, TlsStream::Options options) {
    stream_ = TlsStream::Create(loop, std::move(transport), std::move(context), std::move(options),
                                [this](absl::Status status) { handshake_ = std::move(status); });
    stream_->SetObserver(this);
    EXPECT_FALSE(handshake_.has_value()) << "the callback ran inside Create";
  }
  void OnReadable() override {
    while (reading_) {
      uint8_t buffer[20000];
      const IoResult result = stream_->Read(absl::MakeSpan(buffer));
      last_read_ = result.status;
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return;
      received_.append(reinterpret_cast<char*>(buffer), result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnWritable() override {
    while (sent_ < to_send_.size()) {
      const IoResult result = stream_->Write(Bytes(absl::string_view(to_send_).substr(sent_)));
      if (result.status == IoStatus::kError) return;
      sent_ += result.bytes;
      if (result.status == IoStatus::kWouldBlock) return;
    }
    if (shutdown_after_) stream_->ShutdownWrite();
  }
  void Send(std::string text, bool then_shutdown = false) {
    to_send_ += text;
    shutdown_after_ = then_shutdown;
    OnWritable();
  }
  absl::Status handshake() const {
    return handshake_.has_value() ? *handshake_ : absl::UnknownError("still handshaking");
  }

  std::unique_ptr<TlsStream> stream_;
  absl::optional<absl::Status> handshake_;
  IoStatus last_read_ = IoStatus::kWouldBlock;
  std::string received_, to_send_;
  size_t sent_ = 0;
  bool shutdown_after_ = false;
  bool reading_ = true;
};

class TlsStreamTest : public ::testing::Test {
 protected:
  TlsStreamTest() : start_(loop_.WallNow()), ca_("td", start_) { Pair({}, {}); }

  void Pair(const MemoryStreamPair::Quota& a, const MemoryStreamPair::Quota& b) {
    pair_ = std::make_unique<MemoryStreamPair>(&loop_, a, b);
  }
  std::shared_ptr<const TlsContext> Context(TlsRole role, const TestIdentity& identity,
                                            const TrustBundleSet& bundles,
                                            const std::string& alpn = "test",
                                            absl::optional<absl::Duration> clock_offset = {}) {
    signer_.AddKey(identity);
    absl::StatusOr<IdentitySnapshotPtr> snapshot =
        IdentitySnapshot::Create(1, identity.chain, bundles, start_, clock_offset);
    EXPECT_THAT(snapshot, IsOk());
    absl::StatusOr<std::shared_ptr<const TlsContext>> context =
        TlsContext::Create(role, alpn, *snapshot, &signer_);
    EXPECT_THAT(context, IsOk());
    return *context;
  }
  std::shared_ptr<const TlsContext> GoodContext(TlsRole role, const std::string& alpn = "test") {
    return Context(role, ca_.IssueSvid(role == TlsRole::kClient ? "/client" : "/server"),
                   ca_.Bundles(), alpn);
  }
  void StartClient(std::shared_ptr<const TlsContext> context, TlsStream::Options options = {}) {
    client_.Start(&loop_, pair_->TakeA(), std::move(context), std::move(options));
  }
  void StartServer(std::shared_ptr<const TlsContext> context, TlsStream::Options options = {}) {
    server_.Start(&loop_, pair_->TakeB(), std::move(context), std::move(options));
  }
  void StartBoth() {
    StartClient(GoodContext(TlsRole::kClient));
    StartServer(GoodContext(TlsRole::kServer));
  }
  void Connect() {
    StartBoth();
    loop_.RunUntilIdle();
    ASSERT_THAT(client_.handshake(), IsOk());
    ASSERT_THAT(server_.handshake(), IsOk());
  }

  ManualEventLoop loop_;
  LocalSigner signer_;
  const absl::Time start_;
  const TestCa ca_;
  std::unique_ptr<MemoryStreamPair> pair_;
  Endpoint client_, server_;
};

TEST_F(TlsStreamTest, AuthenticatesBothEndsAndSaysWhatWasAgreed) {
  Connect();
  EXPECT_EQ(client_.stream_->peer().id.text(), "spiffe://td/server");
  EXPECT_EQ(server_.stream_->peer().id.text(), "spiffe://td/client");
  for (const Endpoint* end : {&client_, &server_}) {
    EXPECT_EQ(end->stream_->session().version, "TLSv1.3");
    EXPECT_EQ(end->stream_->session().group, "X25519MLKEM768");
    EXPECT_EQ(end->stream_->session().alpn, "test");
    EXPECT_THAT(end->stream_->session().cipher, HasSubstr("TLS_"));
  }
}

TEST_F(TlsStreamTest, KeepsThePeersChainAsItWasSent) {
  const TestCa intermediate = ca_.MakeIntermediate(ca_.IntermediateSpec());
  const TestIdentity server = intermediate.IssueSvid("/server");
  StartClient(GoodContext(TlsRole::kClient));
  StartServer(Context(TlsRole::kServer, server, ca_.Bundles()));
  loop_.RunUntilIdle();
  ASSERT_THAT(client_.handshake(), IsOk());
  const CertificateChain& chain = client_.stream_->peer_chain();
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0]->der(), server.chain[0]->der());
  EXPECT_EQ(chain[1]->der(), intermediate.certificate()->der());
  EXPECT_EQ(server_.stream_->peer_chain().size(), 1u);
}

TEST_F(TlsStreamTest, MovesBytesBothWaysAndClosesOneDirectionAfterTheOther) {
  Connect();
  client_.Send("question", /*then_shutdown=*/true);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "question");
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
  EXPECT_EQ(client_.last_read_, IoStatus::kWouldBlock);
  server_.Send("answer after the end", /*then_shutdown=*/true);
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.received_, "answer after the end");
  EXPECT_EQ(client_.last_read_, IoStatus::kEof);
  EXPECT_TRUE(client_.stream_->Flushed());
  EXPECT_THAT(client_.stream_->error(), IsOk());
}

TEST_F(TlsStreamTest, TheServerMayCloseFirst) {
  Connect();
  server_.Send("bye", true);
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.last_read_, IoStatus::kEof);
  client_.Send("and still", true);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "and still");
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
}

TEST_F(TlsStreamTest, WorksOneByteAtATime) {
  Pair(MemoryStreamPair::Quota::OneByte(), MemoryStreamPair::Quota::OneByte());
  StartBoth();
  loop_.RunUntilIdle();
  ASSERT_THAT(client_.handshake(), IsOk());
  ASSERT_THAT(server_.handshake(), IsOk());
  client_.Send(std::string(3000, 'c'), true);
  server_.Send(std::string(3000, 's'), true);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, std::string(3000, 'c'));
  EXPECT_EQ(client_.received_, std::string(3000, 's'));
  EXPECT_EQ(client_.last_read_, IoStatus::kEof);
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
}

TEST_F(TlsStreamTest, CarriesABigTransferUnchanged) {
  Connect();
  std::string data(5'000'000, '\0');
  uint32_t x = 1;
  for (char& c : data) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  client_.Send(data, true);
  server_.Send(data, true);
  loop_.RunUntilIdle();
  EXPECT_TRUE(server_.received_ == data);
  EXPECT_TRUE(client_.received_ == data);
}

TEST_F(TlsStreamTest, BlocksTheWriterWithBoundedMemoryWhenNobodyReads) {
  Connect();
  server_.reading_ = false;
  client_.Send(std::string(10'000'000, 'x'));
  loop_.RunUntilIdle();
  EXPECT_LT(client_.sent_, 300'000u);
  EXPECT_LT(client_.stream_->buffered_bytes(), 200'000u);
  EXPECT_LE(server_.stream_->buffered_bytes(), 64u * 1024);
  server_.reading_ = true;
  server_.OnReadable();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_.size(), 10'000'000u);
}

TEST_F(TlsStreamTest, HoldsNoBufferWhileIdle) {
  Connect();
  client_.Send(std::string(500'000, 'x'));
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.stream_->buffered_bytes(), 0u);
  EXPECT_EQ(server_.stream_->buffered_bytes(), 0u);
}

TEST_F(TlsStreamTest, MovesNoApplicationByteBeforeThePeerIsVerified) {
  StartClient(GoodContext(TlsRole::kClient));
  EXPECT_EQ(client_.stream_->Write(Bytes("early")).status, IoStatus::kWouldBlock);
  EXPECT_EQ(client_.stream_->Write(Bytes("early")).bytes, 0u);
  uint8_t byte;
  EXPECT_EQ(client_.stream_->Read(absl::MakeSpan(&byte, 1)).status, IoStatus::kWouldBlock);
}

TEST_F(TlsStreamTest, ShutsDownAfterTheHandshakeWhenAskedBefore) {
  StartBoth();
  client_.stream_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
}

TEST_F(TlsStreamTest, ReportsATransportEndWithoutCloseNotifyAsTruncation) {
  Connect();
  client_.Send("partial");
  pair_->Truncate(Side::kA, 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "partial");
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(TlsStreamTest, PassesAResetOnAfterTheBytesBeforeIt) {
  Connect();
  client_.Send("last words");
  client_.stream_->Reset();
  EXPECT_EQ(client_.stream_->Write(Bytes("x")).status, IoStatus::kError);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "last words");
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(client_.stream_->Flushed());
}

TEST_F(TlsStreamTest, AClientRefusesAServerOfAnotherTrustDomainAndTellsIt) {
  const TestCa other("other", start_);
  StartClient(GoodContext(TlsRole::kClient));
  StartServer(Context(TlsRole::kServer, other.IssueSvid("/server"), other.Bundles()));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("for which there is no trust bundle")));
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("peer refused our certificate: unknown CA")));
}

TEST_F(TlsStreamTest, RefusesAnUntrustedClientAndTellsItWhenItReads) {
  const TestCa impostor("td", start_);
  absl::StatusOr<TrustBundleSet> both =
      TrustBundleSet::Create({{"td", {{ca_.root(), impostor.root()}}}});
  ASSERT_THAT(both, IsOk());
  StartClient(Context(TlsRole::kClient, impostor.IssueSvid("/client"), *both));
  StartServer(GoodContext(TlsRole::kServer));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not signed by a root")));
  EXPECT_THAT(client_.handshake(), IsOk());  // TLS 1.3: done before the server has judged.
  EXPECT_EQ(client_.last_read_, IoStatus::kError);
  EXPECT_THAT(client_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("refused our certificate")));
}

TEST_F(TlsStreamTest, RefusesExpiredPeersByTheLoopsClock) {
  const TestIdentity brief = ca_.IssueSvid("/server", absl::Minutes(2));
  StartClient(GoodContext(TlsRole::kClient));
  StartServer(Context(TlsRole::kServer, brief, ca_.Bundles()));
  loop_.clock()->SetWall(brief.chain[0]->not_after() + absl::Seconds(9));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("spiffe://td/server expired 9 s ago")));
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("certificate expired")));
}

TEST_F(TlsStreamTest, SaysThatItsOwnClockIsWrongWhereThatIsKnown) {
  CertificateSpec early = ca_.SvidSpec("/server");
  early.not_before = start_ + absl::Seconds(7);
  StartClient(
      Context(TlsRole::kClient, ca_.IssueSvid("/client"), ca_.Bundles(), "test", absl::Seconds(9)));
  const TestIdentity server = ca_.Issue(early);
  signer_.AddKey(server);
  absl::StatusOr<IdentitySnapshotPtr> snapshot =
      IdentitySnapshot::Create(1, server.chain, ca_.Bundles(), early.not_before);
  ASSERT_THAT(snapshot, IsOk());
  StartServer(*TlsContext::Create(TlsRole::kServer, "test", *snapshot, &signer_));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            AllOf(HasSubstr("is valid in 7 s"),
                                                  HasSubstr("your clock is 9 s behind the mesh"))));
}

TEST_F(TlsStreamTest, RefusesAnIdentityThatIsNotAllowed) {
  TlsStream::Options options;
  options.allowed_peers = {*SpiffeId::Parse("spiffe://td/someone-else")};
  StartClient(GoodContext(TlsRole::kClient), options);
  StartServer(GoodContext(TlsRole::kServer));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       HasSubstr("is spiffe://td/server, expected spiffe://td/someone-else")));
  // Told from the refusals that say nothing about who the peer is.
  EXPECT_TRUE(IsIdentityMismatch(client_.handshake()));
  EXPECT_FALSE(IsOwnFault(client_.handshake()));
  EXPECT_FALSE(IsIdentityMismatch(server_.handshake()));
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("access_denied")));
}

TEST_F(TlsStreamTest, TellsAVerifiedPeerThatAccessIsDenied) {
  Connect();
  // What is on its way by then does not matter any more.
  client_.Send("already sent");
  server_.stream_->DenyAccess();
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.last_read_, IoStatus::kError);
  EXPECT_THAT(client_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("access_denied")));
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(server_.received_, "");
  EXPECT_TRUE(server_.stream_->Flushed());
  server_.stream_->DenyAccess();  // Nothing more to say.
}

TEST_F(TlsStreamTest, RefusesAnotherApplicationProtocol) {
  StartClient(GoodContext(TlsRole::kClient, "h2"));
  StartServer(GoodContext(TlsRole::kServer, "other"));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("application protocol")));
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TlsStreamTest, GivesUpOnASilentPeerAfterTheTimeout) {
  StartClient(GoodContext(TlsRole::kClient));
  std::unique_ptr<ByteStream> silent = pair_->TakeB();
  loop_.AdvanceTime(absl::Milliseconds(4999));
  EXPECT_FALSE(client_.handshake_.has_value());
  loop_.AdvanceTime(absl::Milliseconds(2));
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("5s, waiting for the peer")));
}

TEST_F(TlsStreamTest, RefusesGarbage) {
  StartServer(GoodContext(TlsRole::kServer));
  std::unique_ptr<ByteStream> peer = pair_->TakeA();
  peer->Write(Bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TlsStreamTest, ReportsAPeerThatLeavesDuringTheHandshake) {
  StartServer(GoodContext(TlsRole::kServer));
  pair_->TakeA()->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, WaitsForASlowSigner) {
  signer_.Hold();
  StartBoth();
  loop_.RunUntilIdle();
  EXPECT_EQ(signer_.held(), 1u);
  EXPECT_FALSE(server_.handshake_.has_value());
  signer_.Release();
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(), IsOk());
  EXPECT_THAT(server_.handshake(), IsOk());
}

TEST_F(TlsStreamTest, FailsWhenTheSignerIsAway) {
  signer_.set_failure(absl::UnavailableError("agent is away"));
  StartBoth();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("agent is away")));
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, FailsWhenTheSignerRefuses) {
  signer_.set_failure(absl::PermissionDeniedError("not a live certificate"));
  StartBoth();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not a live certificate")));
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, AServerRefusesAClientOfAnotherTrustDomainWhoseBundleItDoesNotHave) {
  const TestCa other("other", start_);
  absl::StatusOr<TrustBundleSet> both =
      TrustBundleSet::Create({{"td", {{ca_.root()}}}, {"other", {{other.root()}}}});
  ASSERT_THAT(both, IsOk());
  TlsStream::Options options;
  options.allowed_peers = {*SpiffeId::Parse("spiffe://td/server")};
  StartClient(Context(TlsRole::kClient, other.IssueSvid("/client"), *both), options);
  StartServer(GoodContext(TlsRole::kServer));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("for which there is no trust bundle")));
  EXPECT_EQ(client_.last_read_, IoStatus::kError);
  EXPECT_THAT(client_.stream_->error(), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TlsStreamTest, RefusesAForeignTrustDomainUnlessAllowedEvenWithItsBundle) {
  const TestCa other("other", start_);
  absl::StatusOr<TrustBundleSet> both =
      TrustBundleSet::Create({{"td", {{ca_.root()}}}, {"other", {{other.root()}}}});
  ASSERT_THAT(both, IsOk());
  StartClient(GoodContext(TlsRole::kClient));
  StartServer(Context(TlsRole::kServer, ca_.IssueSvid("/server"), *both));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), IsOk());
  Endpoint foreign, home;
  MemoryStreamPair second(&loop_);
  TlsStream::Options options;
  options.allowed_peers = {*SpiffeId::Parse("spiffe://td/server")};
  foreign.Start(&loop_, second.TakeA(),
                Context(TlsRole::kClient, other.IssueSvid("/client"), *both), options);
  home.Start(&loop_, second.TakeB(), Context(TlsRole::kServer, ca_.IssueSvid("/server"), *both),
             {});
  loop_.RunUntilIdle();
  EXPECT_THAT(home.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not of trust domain td")));
}

TEST_F(TlsStreamTest, AFederatedServerTakesAnyTrustDomainItHasABundleOf) {
  const TestCa other("other", start_);
  const TrustBundleSet both =
      *TrustBundleSet::Create({{"td", {{ca_.root()}}}, {"other", {{other.root()}}}});
  TlsStream::Options client, server;
  client.allowed_peers = {*SpiffeId::Parse("spiffe://td/server")};
  server.federated = true;
  StartClient(Context(TlsRole::kClient, other.IssueSvid("/client"), both), client);
  StartServer(Context(TlsRole::kServer, ca_.IssueSvid("/server"), both), server);
  loop_.RunUntilIdle();
  ASSERT_THAT(server_.handshake(), IsOk());
  EXPECT_EQ(server_.stream_->peer().id.text(), "spiffe://other/client");
}

TEST_F(TlsStreamTest, TellsARevokedClientAndItsOwnSideWhy) {
  const TestIdentity revoked = ca_.IssueSvid("/client");
  const TrustBundleSet bundles = *TrustBundleSet::Create(
      {{"td", {{ca_.root()}, {MakeCrl(*ca_.root(), ca_.key(), start_, {revoked.chain[0]})}}}});
  StartClient(Context(TlsRole::kClient, revoked, ca_.Bundles()));
  StartServer(Context(TlsRole::kServer, ca_.IssueSvid("/server"), bundles));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("is revoked")));
  EXPECT_EQ(DefectOf(server_.handshake()), SvidDefect::kRevoked);
  EXPECT_THAT(client_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(TlsStreamTest, AServerRefusesAnExpiredClient) {
  const TestIdentity brief = ca_.IssueSvid("/client", absl::Minutes(2));
  StartClient(Context(TlsRole::kClient, brief, ca_.Bundles()));
  StartServer(GoodContext(TlsRole::kServer));
  loop_.clock()->SetWall(brief.chain[0]->not_after() + absl::Seconds(9));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("spiffe://td/client expired 9 s ago")));
  EXPECT_THAT(client_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("certificate expired")));
}

TEST_F(TlsStreamTest, EndsWithTheDeadlineWhenTheSignerNeverAnswers) {
  signer_.Hold();
  StartBoth();
  loop_.AdvanceTime(absl::Seconds(6));
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("our signer")));
  EXPECT_TRUE(IsOwnFault(server_.handshake()));
  signer_.Release();
  loop_.RunUntilIdle();
}

TEST_F(TlsStreamTest, MayBeDestroyedWhileASignatureIsAwaited) {
  signer_.Hold();
  StartBoth();
  loop_.RunUntilIdle();
  server_.stream_.reset();
  signer_.Release();
  loop_.RunUntilIdle();
  EXPECT_FALSE(server_.handshake_.has_value());
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, MayBeDestroyedAfterEachTurnOfTheHandshake) {
  for (int turns = 0; turns < 300; ++turns) {
    Pair({64, 64, 64, true}, {64, 64, 64, true});
    Endpoint client, server;
    client.Start(&loop_, pair_->TakeA(), GoodContext(TlsRole::kClient), {});
    server.Start(&loop_, pair_->TakeB(), GoodContext(TlsRole::kServer), {});
    for (int i = 0; i < turns; ++i) loop_.RunOnce();
    (turns % 2 ? client : server).stream_.reset();
    loop_.RunUntilIdle();
  }
}

TEST_F(TlsStreamTest, MayBeDestroyedInItsHandshakeCallback) {
  std::unique_ptr<TlsStream> stream;
  stream = TlsStream::Create(&loop_, pair_->TakeA(), GoodContext(TlsRole::kClient), {},
                             [&stream](absl::Status) { stream.reset(); });
  StartServer(GoodContext(TlsRole::kServer));
  loop_.RunUntilIdle();
  EXPECT_EQ(stream, nullptr);
}

TEST_F(TlsStreamTest, OldConnectionsKeepTheirContextAfterARotation) {
  Connect();
  const TlsContext* old_context = &server_.stream_->context();
  Endpoint new_client, new_server;
  MemoryStreamPair second(&loop_);
  const TestIdentity rotated = ca_.IssueSvid("/server");
  new_client.Start(&loop_, second.TakeA(), GoodContext(TlsRole::kClient), {});
  new_server.Start(&loop_, second.TakeB(), Context(TlsRole::kServer, rotated, ca_.Bundles()), {});
  loop_.RunUntilIdle();
  ASSERT_THAT(new_server.handshake(), IsOk());
  EXPECT_EQ(&server_.stream_->context(), old_context);
  client_.Send("old still works");
  new_client.Send("new works");
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "old still works");
  EXPECT_EQ(new_server.received_, "new works");
}

TEST_F(TlsStreamTest, RefusesAClientWithoutACertificate) {
  StartServer(GoodContext(TlsRole::kServer));
  RawTlsClient raw(pair_->TakeA());
  raw.Begin();
  for (int i = 0; i < 10; ++i, loop_.RunUntilIdle()) raw.Pump();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("peer did not return a certificate")));
}

class RawClientWithCertificateTest : public TlsStreamTest {
 protected:
  void ConnectRaw(bool with_alpn) {
    StartServer(GoodContext(TlsRole::kServer));
    raw_ = std::make_unique<RawTlsClient>(pair_->TakeA());
    raw_->Use(ca_.IssueSvid("/raw"));
    raw_->Begin(with_alpn);
    for (int i = 0; i < 10; ++i, loop_.RunUntilIdle()) raw_->Pump();
  }
  std::unique_ptr<RawTlsClient> raw_;
};

TEST_F(RawClientWithCertificateTest, GetsNoTicketEver) {
  ConnectRaw(true);
  ASSERT_THAT(server_.handshake(), IsOk());
  server_.Send("some data");
  for (int i = 0; i < 10; ++i, loop_.RunUntilIdle()) raw_->Pump();
  EXPECT_EQ(raw_->tickets(), 0);
}

TEST_F(RawClientWithCertificateTest, IsRefusedWithoutAnApplicationProtocol) {
  ConnectRaw(false);
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("application protocol")));
}

TEST_F(RawClientWithCertificateTest, IsCutOffWhenItFloodsKeyUpdates) {
  ConnectRaw(true);
  ASSERT_THAT(server_.handshake(), IsOk());
  for (int i = 0; i < 101; ++i) {
    ASSERT_TRUE(SSL_key_update(raw_->ssl(), SSL_KEY_UPDATE_NOT_REQUESTED));
    ASSERT_EQ(SSL_write(raw_->ssl(), "x", 1), 1);
    raw_->Pump();
    loop_.RunUntilIdle();
    EXPECT_EQ(server_.last_read_, i < 100 ? IoStatus::kWouldBlock : IoStatus::kError) << i;
  }
  EXPECT_THAT(server_.stream_->error(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("key updates")));
}

}  // namespace
}  // namespace byrnie
