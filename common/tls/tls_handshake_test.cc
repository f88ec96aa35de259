// Whom a TlsStream takes, whom it refuses, and what it says.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/handshake_fault.h"
#include "common/tls/session_fault.h"
#include "common/tls/testing/raw_tls_client.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "common/tls/testing/tls_pair.h"
#include "common/tls/tls_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Side = MemoryStreamPair::Side;

class TlsHandshakeTest : public TlsPairTest {};

TEST_F(TlsHandshakeTest, AuthenticatesBothEndsAndSaysWhatWasAgreed) {
  Connect();
  EXPECT_EQ(client_.stream_->peer().id.text(), "spiffe://td/server");
  EXPECT_EQ(server_.stream_->peer().id.text(), "spiffe://td/client");
  for (const TlsEndpoint* end : {&client_, &server_}) {
    EXPECT_EQ(end->stream_->session().version, "TLSv1.3");
    EXPECT_EQ(end->stream_->session().group, "X25519MLKEM768");
    EXPECT_EQ(end->stream_->session().alpn, "test");
    EXPECT_THAT(end->stream_->session().cipher, HasSubstr("TLS_"));
  }
}

TEST_F(TlsHandshakeTest, KeepsThePeersChainAsItWasSent) {
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

TEST_F(TlsHandshakeTest, ConnectionsOfOnePeerShareItsCertificates) {
  const auto client = GoodContext(TlsRole::kClient);
  const auto server = GoodContext(TlsRole::kServer);
  StartClient(client);
  StartServer(server);
  MemoryStreamPair second(&loop_);
  TlsEndpoint second_client, second_server;
  second_client.Start(&loop_, second.TakeA(), client, {});
  second_server.Start(&loop_, second.TakeB(), server, {});
  loop_.RunUntilIdle();
  ASSERT_THAT(server_.handshake(), IsOk());
  ASSERT_THAT(second_server.handshake(), IsOk());
  EXPECT_EQ(server_.stream_->peer_chain(), second_server.stream_->peer_chain());
  EXPECT_EQ(client_.stream_->peer_chain(), second_client.stream_->peer_chain());
}

TEST_F(TlsHandshakeTest, MovesNoApplicationByteBeforeThePeerIsVerified) {
  StartClient(GoodContext(TlsRole::kClient));
  EXPECT_EQ(client_.stream_->Write(Bytes("early")).status, IoStatus::kWouldBlock);
  EXPECT_EQ(client_.stream_->Write(Bytes("early")).bytes, 0u);
  uint8_t byte;
  EXPECT_EQ(client_.stream_->Read(absl::MakeSpan(&byte, 1)).status, IoStatus::kWouldBlock);
}

TEST_F(TlsHandshakeTest, AClientRefusesAServerOfAnotherTrustDomainAndTellsIt) {
  const TestCa other("other", start_);
  StartClient(GoodContext(TlsRole::kClient));
  StartServer(Context(TlsRole::kServer, other.IssueSvid("/server"), other.Bundles()));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("for which there is no trust bundle")));
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("peer refused our certificate: unknown CA")));
}

TEST_F(TlsHandshakeTest, RefusesAnUntrustedClientAndTellsItWhenItReads) {
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

TEST_F(TlsHandshakeTest, RefusesExpiredPeersByTheLoopsClock) {
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

TEST_F(TlsHandshakeTest, SaysThatItsOwnClockIsWrongWhereThatIsKnown) {
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

TEST_F(TlsHandshakeTest, RefusesAnIdentityThatIsNotAllowed) {
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

TEST_F(TlsHandshakeTest, RefusesAnotherApplicationProtocol) {
  StartClient(GoodContext(TlsRole::kClient, "h2"));
  StartServer(GoodContext(TlsRole::kServer, "other"));
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("application protocol")));
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TlsHandshakeTest, GivesUpOnASilentPeerAfterTheTimeout) {
  StartClient(GoodContext(TlsRole::kClient));
  std::unique_ptr<ByteStream> silent = pair_->TakeB();
  loop_.AdvanceTime(absl::Milliseconds(4999));
  EXPECT_FALSE(client_.handshake_.has_value());
  loop_.AdvanceTime(absl::Milliseconds(2));
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("5s, waiting for the peer")));
}

TEST_F(TlsHandshakeTest, RefusesGarbage) {
  StartServer(GoodContext(TlsRole::kServer));
  std::unique_ptr<ByteStream> peer = pair_->TakeA();
  peer->Write(Bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TlsHandshakeTest, ReportsAPeerThatLeavesDuringTheHandshake) {
  StartServer(GoodContext(TlsRole::kServer));
  pair_->TakeA()->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsHandshakeTest, WaitsForASlowSigner) {
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

TEST_F(TlsHandshakeTest, FailsWhenTheSignerIsAway) {
  signer_.set_failure(absl::UnavailableError("agent is away"));
  StartBoth();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("agent is away")));
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsHandshakeTest, FailsWhenTheSignerRefuses) {
  signer_.set_failure(absl::PermissionDeniedError("not a live certificate"));
  StartBoth();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not a live certificate")));
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsHandshakeTest, AServerRefusesAClientOfAnotherTrustDomainWhoseBundleItDoesNotHave) {
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

TEST_F(TlsHandshakeTest, RefusesAForeignTrustDomainUnlessAllowedEvenWithItsBundle) {
  const TestCa other("other", start_);
  absl::StatusOr<TrustBundleSet> both =
      TrustBundleSet::Create({{"td", {{ca_.root()}}}, {"other", {{other.root()}}}});
  ASSERT_THAT(both, IsOk());
  StartClient(GoodContext(TlsRole::kClient));
  StartServer(Context(TlsRole::kServer, ca_.IssueSvid("/server"), *both));
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.handshake(), IsOk());
  TlsEndpoint foreign, home;
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

TEST_F(TlsHandshakeTest, AFederatedServerTakesAnyTrustDomainItHasABundleOf) {
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

TEST_F(TlsHandshakeTest, TellsARevokedClientAndItsOwnSideWhy) {
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

TEST_F(TlsHandshakeTest, AServerRefusesAnExpiredClient) {
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

TEST_F(TlsHandshakeTest, EndsWithTheDeadlineWhenTheSignerNeverAnswers) {
  signer_.Hold();
  StartBoth();
  loop_.AdvanceTime(absl::Seconds(6));
  EXPECT_THAT(server_.handshake(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("our signer")));
  EXPECT_TRUE(IsOwnFault(server_.handshake()));
  signer_.Release();
  loop_.RunUntilIdle();
}

TEST_F(TlsHandshakeTest, MayBeDestroyedWhileASignatureIsAwaited) {
  signer_.Hold();
  StartBoth();
  loop_.RunUntilIdle();
  server_.stream_.reset();
  signer_.Release();
  loop_.RunUntilIdle();
  EXPECT_FALSE(server_.handshake_.has_value());
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsHandshakeTest, MayBeDestroyedAfterEachTurnOfTheHandshake) {
  for (int turns = 0; turns < 300; ++turns) {
    Pair({64, 64, 64, true}, {64, 64, 64, true});
    TlsEndpoint client, server;
    client.Start(&loop_, pair_->TakeA(), GoodContext(TlsRole::kClient), {});
    server.Start(&loop_, pair_->TakeB(), GoodContext(TlsRole::kServer), {});
    for (int i = 0; i < turns; ++i) loop_.RunOnce();
    (turns % 2 ? client : server).stream_.reset();
    loop_.RunUntilIdle();
  }
}

TEST_F(TlsHandshakeTest, MayBeDestroyedInItsHandshakeCallback) {
  std::unique_ptr<TlsStream> stream;
  stream = TlsStream::Create(&loop_, pair_->TakeA(), GoodContext(TlsRole::kClient), {},
                             [&stream](absl::Status) { stream.reset(); });
  StartServer(GoodContext(TlsRole::kServer));
  loop_.RunUntilIdle();
  EXPECT_EQ(stream, nullptr);
}

TEST_F(TlsHandshakeTest, RefusesAClientWithoutACertificate) {
  StartServer(GoodContext(TlsRole::kServer));
  RawTlsClient raw(pair_->TakeA());
  raw.Begin();
  for (int i = 0; i < 10; ++i, loop_.RunUntilIdle()) raw.Pump();
  EXPECT_THAT(server_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated,
                                            HasSubstr("peer did not return a certificate")));
}

class RawClientWithCertificateTest : public TlsHandshakeTest {
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
  EXPECT_EQ(SessionFaultOf(server_.stream_->error()), SessionFault::kFlood);
}

}  // namespace
}  // namespace byrnie
