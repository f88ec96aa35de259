#include "common/tls/named_server.h"

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/tls/testing/tls_pair.h"
#include "common/tls/unverified_tls_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// The other end is one that asks for no certificate: BoringSSL itself, over the same memory.
class NamedServerTest : public TlsPairTest, public ByteStream::Observer {
 protected:
  static CertificateSpec ServerSpec(absl::Time start) {
    CertificateSpec spec;
    spec.common_name = "api";
    spec.dns_sans = {"kubernetes.default.svc"};
    spec.not_before = start - absl::Minutes(1);
    spec.not_after = start + absl::Hours(1);
    return spec;
  }

  static ssl_verify_result_t TakeAny(SSL* /*ssl*/, uint8_t* /*alert*/) { return ssl_verify_ok; }

  void Serve(const CertificateSpec& spec, uint16_t max_version = TLS1_3_VERSION,
             bool asks = false) {
    const TestIdentity identity = ca_.Issue(spec);
    ctx_.reset(SSL_CTX_new(TLS_method()));
    ASSERT_TRUE(SSL_CTX_set_max_proto_version(ctx_.get(), max_version));
    ASSERT_TRUE(SSL_CTX_use_certificate(ctx_.get(), identity.chain.front()->native()));
    const SecretBytes pkcs8 = identity.key->ToPkcs8();
    CBS der;
    CBS_init(&der, pkcs8.span().data(), pkcs8.size());
    const bssl::UniquePtr<EVP_PKEY> key(EVP_parse_private_key(&der));
    ASSERT_TRUE(SSL_CTX_use_PrivateKey(ctx_.get(), key.get()));
    if (asks) {
      SSL_CTX_set_custom_verify(ctx_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                                TakeAny);
    }
    ssl_.reset(SSL_new(ctx_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_accept_state(ssl_.get());
    transport_ = pair_->TakeB();
    transport_->SetObserver(this);
  }
  ~NamedServerTest() override {
    if (transport_) transport_->SetObserver(nullptr);
  }

  void OnReadable() override {
    uint8_t buffer[16384];
    IoResult result;
    do {
      result = transport_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) break;
      BIO_write(in_, buffer, static_cast<int>(result.bytes));
    } while (result.status == IoStatus::kOk);
    char plain[256];
    const int read = SSL_read(ssl_.get(), plain, sizeof(plain));
    if (read > 0) {
      heard_.append(plain, static_cast<size_t>(read));
      SSL_write(ssl_.get(), "pong", 4);
    }
    OnWritable();
  }
  void OnWritable() override {
    const uint8_t* bytes = nullptr;
    size_t size = 0;
    BIO_mem_contents(out_, &bytes, &size);
    const IoResult result = transport_->Write(absl::MakeConstSpan(bytes, size));
    std::string taken(result.bytes, '\0');
    BIO_read(out_, &taken[0], static_cast<int>(result.bytes));
  }

  void Dial(const std::string& host, TlsClientCertificate client = {}) {
    absl::StatusOr<std::shared_ptr<const TlsContext>> context = TlsContext::CreateForNamedServer(
        "http/1.1", NamedServer{host, {ca_.root()}}, std::move(client));
    ASSERT_THAT(context, IsOk());
    StartClient(*context);
    client_.Send("ping");
    loop_.RunUntilIdle();
  }

  bssl::UniquePtr<SSL_CTX> ctx_;
  bssl::UniquePtr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  std::unique_ptr<ByteStream> transport_;
  std::string heard_;
};

TEST_F(NamedServerTest, TakesAServerOfThatNameWithoutAlpn) {
  Serve(ServerSpec(start_));
  Dial("kubernetes.default.svc");
  EXPECT_THAT(client_.handshake(), IsOk());
  EXPECT_EQ(heard_, "ping");
  EXPECT_EQ(client_.received_, "pong");
  EXPECT_STREQ(SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name), "kubernetes.default.svc");
}

TEST_F(NamedServerTest, SpeaksTls12WhereTheServerKnowsNoOther) {
  Serve(ServerSpec(start_), TLS1_2_VERSION);
  Dial("kubernetes.default.svc");
  EXPECT_THAT(client_.handshake(), IsOk());
  EXPECT_EQ(client_.received_, "pong");
  EXPECT_EQ(client_.stream_->session().version, "TLSv1.2");
}

class NamedServerVersionTest : public NamedServerTest,
                               public ::testing::WithParamInterface<uint16_t> {};

TEST_P(NamedServerVersionTest, ShowsAClientCertificateWhereItHasOne) {
  const TestIdentity alice = ca_.IssueSvid("/alice");
  absl::StatusOr<std::shared_ptr<const ClientKey>> key = ClientKey::FromPem(alice.key->ToPem());
  ASSERT_THAT(key, IsOk());
  Serve(ServerSpec(start_), GetParam(), /*asks=*/true);
  Dial("kubernetes.default.svc", {alice.chain, *key});
  EXPECT_THAT(client_.handshake(), IsOk());
  EXPECT_EQ(client_.received_, "pong");
  const STACK_OF(CRYPTO_BUFFER)* const shown = SSL_get0_peer_certificates(ssl_.get());
  ASSERT_NE(shown, nullptr);
  const CRYPTO_BUFFER* const leaf = sk_CRYPTO_BUFFER_value(shown, 0);
  EXPECT_EQ(absl::string_view(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(leaf)),
                              CRYPTO_BUFFER_len(leaf)),
            alice.chain.front()->der());
}
// As probes are made: of another name, of a CA that nobody named, and over for long.
TEST_P(NamedServerVersionTest, WhoeverItIsIsTakenWhereNothingIsVerified) {
  Serve(ServerSpec(start_ - absl::Hours(1000)), GetParam());
  const absl::StatusOr<UnverifiedTlsClient> client = UnverifiedTlsClient::Create("http/1.1");
  ASSERT_THAT(client, IsOk());
  absl::Status handshake = absl::UnknownError("still handshaking");
  const std::unique_ptr<ByteStream> stream =
      client->Start(&loop_, pair_->TakeA(), absl::Seconds(5),
                    [&](absl::Status status) { handshake = std::move(status); });
  loop_.RunUntilIdle();
  EXPECT_THAT(handshake, IsOk());
  EXPECT_EQ(stream->Write(Bytes("ping")).bytes, 4u);
  loop_.RunUntilIdle();
  EXPECT_EQ(heard_, "ping");
}

// Nothing that takes what the mesh's streams are made of, or such a stream, takes these.
TEST(UnverifiedTlsClientTest, IsOfAnotherType) {
  using Context = std::shared_ptr<const TlsContext>;
  EXPECT_FALSE((std::is_constructible<Context, const UnverifiedTlsClient&>::value));
  using Made = decltype(std::declval<const UnverifiedTlsClient&>().Start(
      nullptr, nullptr, absl::Duration(), TlsStream::HandshakeCallback()));
  EXPECT_FALSE((std::is_constructible<std::unique_ptr<TlsStream>, Made>::value));
}

INSTANTIATE_TEST_SUITE_P(Versions, NamedServerVersionTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST_F(NamedServerTest, RefusesAKeyThatIsNotTheCertificates) {
  const TestIdentity alice = ca_.IssueSvid("/alice"), bob = ca_.IssueSvid("/bob");
  EXPECT_THAT(
      TlsContext::CreateForNamedServer("http/1.1", NamedServer{"host", {ca_.root()}},
                                       {alice.chain, *ClientKey::FromPem(bob.key->ToPem())}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("do not go together")));
}

TEST_F(NamedServerTest, RefusesAnotherName) {
  Serve(ServerSpec(start_));
  Dial("evil.example");
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not for evil.example")));
  EXPECT_EQ(heard_, "");
}

TEST_F(NamedServerTest, RefusesAnotherCa) {
  Serve(ServerSpec(start_));
  const TestCa other("td", start_);
  absl::StatusOr<std::shared_ptr<const TlsContext>> context = TlsContext::CreateForNamedServer(
      "http/1.1", NamedServer{"kubernetes.default.svc", {other.root()}});
  ASSERT_THAT(context, IsOk());
  StartClient(*context);
  client_.Send("ping");
  loop_.RunUntilIdle();
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(heard_, "");
}

TEST_F(NamedServerTest, RefusesAnExpiredCertificate) {
  CertificateSpec spec = ServerSpec(start_);
  spec.not_after = start_ - absl::Seconds(10);
  Serve(spec);
  Dial("kubernetes.default.svc");
  EXPECT_THAT(client_.handshake(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
}

TEST_F(NamedServerTest, RefusesAClientsCertificate) {
  CertificateSpec spec = ServerSpec(start_);
  spec.server_auth = false;
  Serve(spec);
  Dial("kubernetes.default.svc");
  EXPECT_THAT(client_.handshake(), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(NamedServerTest, OurOwnTakesClientsWithoutACertificate) {
  const TestIdentity identity = ca_.Issue(ServerSpec(start_));
  signer_.AddKey(identity);
  absl::StatusOr<std::shared_ptr<const TlsContext>> context =
      TlsContext::CreateForAnonymousClients("http/1.1", identity.chain, &signer_);
  ASSERT_THAT(context, IsOk());
  StartServer(*context);
  Dial("kubernetes.default.svc");
  ASSERT_THAT(client_.handshake(), IsOk());
  ASSERT_THAT(server_.handshake(), IsOk());
  EXPECT_EQ(server_.received_, "ping");
  EXPECT_EQ(server_.stream_->session().version, "TLSv1.3");
  server_.Send("pong");
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.received_, "pong");
}

struct OlderClient {
  uint16_t version;
  const char* ciphers;
  bool spoken_with;
};

class OlderClientTest : public NamedServerTest,
                        public ::testing::WithParamInterface<OlderClient> {};

TEST_P(OlderClientTest, OurOwnSpeaksTls12WithEcdheAndAnAead) {
  const TestIdentity identity = ca_.Issue(ServerSpec(start_));
  signer_.AddKey(identity);
  StartServer(*TlsContext::CreateForAnonymousClients("http/1.1", identity.chain, &signer_));
  const absl::StatusOr<std::shared_ptr<const TlsContext>> client = TlsContext::CreateForNamedServer(
      "http/1.1", NamedServer{"kubernetes.default.svc", {ca_.root()}});
  ASSERT_THAT(client, IsOk());
  SSL_CTX* const ctx = (*client)->native();
  ASSERT_TRUE(SSL_CTX_set_min_proto_version(ctx, GetParam().version));
  ASSERT_TRUE(SSL_CTX_set_max_proto_version(ctx, GetParam().version));
  ASSERT_TRUE(SSL_CTX_set_strict_cipher_list(ctx, GetParam().ciphers));
  StartClient(*client);
  client_.Send("ping");
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.handshake().ok(), GetParam().spoken_with) << client_.handshake();
  EXPECT_EQ(server_.handshake().ok(), GetParam().spoken_with) << server_.handshake();
  EXPECT_EQ(server_.received_, GetParam().spoken_with ? "ping" : "");
  if (GetParam().spoken_with) {
    EXPECT_EQ(server_.stream_->session().version, "TLSv1.2");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Clients, OlderClientTest,
    ::testing::Values(OlderClient{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
                      OlderClient{TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", true},
                      OlderClient{TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
                      // Without an AEAD, without a key for this connection alone, and older.
                      OlderClient{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", false},
                      OlderClient{TLS1_2_VERSION, "AES128-GCM-SHA256", false},
                      OlderClient{TLS1_1_VERSION, "ECDHE-ECDSA-AES128-SHA", false}));

TEST_F(NamedServerTest, OurOwnSpeaksNothingElse) {
  const TestIdentity identity = ca_.Issue(ServerSpec(start_));
  signer_.AddKey(identity);
  StartServer(*TlsContext::CreateForAnonymousClients("h2", identity.chain, &signer_));
  Dial("kubernetes.default.svc");
  EXPECT_FALSE(client_.handshake().ok());
  EXPECT_FALSE(server_.handshake().ok());
  EXPECT_EQ(server_.received_, "");
}

TEST(NamedServerContextTest, NeedsRootsAndAName) {
  EXPECT_THAT(TlsContext::CreateForNamedServer("http/1.1", NamedServer{"host", {}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(TlsContext::CreateForNamedServer("http/1.1", NamedServer{"", {}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
