#include "common/tls/tls_context.h"

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/crypto/ssl_error.h"
#include "common/tls/tls_hooks.h"
#include "openssl/pool.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

constexpr size_t kMaxPeerChainBytes = 16 * 1024;
constexpr uint16_t kGroups[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519, SSL_GROUP_SECP256R1};
constexpr uint16_t kSignatureSchemes[] = {SSL_SIGN_ECDSA_SECP256R1_SHA256};

TlsHooks* HooksOf(const SSL* ssl) { return static_cast<TlsHooks*>(SSL_get_app_data(ssl)); }

ssl_verify_result_t VerifyPeer(SSL* ssl, uint8_t* out_alert) {
  return HooksOf(ssl)->VerifyPeer(out_alert);
}

ssl_private_key_result_t StartSign(SSL* ssl, uint8_t* /*out*/, size_t* /*out_len*/,
                                   size_t /*max_out*/, uint16_t scheme, const uint8_t* in,
                                   size_t in_len) {
  return HooksOf(ssl)->StartSign(scheme, in, in_len);
}

// Neither TLS 1.3 nor ECDHE decrypts with the certificate's key.
ssl_private_key_result_t RefuseDecrypt(SSL* /*ssl*/, uint8_t* /*out*/, size_t* /*out_len*/,
                                       size_t /*max_out*/, const uint8_t* /*in*/,
                                       size_t /*in_len*/) {
  return ssl_private_key_failure;
}

ssl_private_key_result_t CompleteSign(SSL* ssl, uint8_t* out, size_t* out_len, size_t max_out) {
  return HooksOf(ssl)->CompleteSign(out, out_len, max_out);
}

constexpr SSL_PRIVATE_KEY_METHOD kRemoteKey = {StartSign, RefuseDecrypt, CompleteSign};

// Server: takes exactly our protocol. Without this a mismatch would end in a session without one.
int SelectAlpn(SSL* /*ssl*/, const uint8_t** out, uint8_t* out_len, const uint8_t* in,
               unsigned in_len, void* arg) {
  const std::string& wanted = *static_cast<const std::string*>(arg);
  for (unsigned at = 0; at < in_len;) {
    const uint8_t size = in[at++];
    if (size > in_len - at) break;
    if (size == wanted.size() && memcmp(in + at, wanted.data(), size) == 0) {
      *out = in + at;
      *out_len = size;
      return SSL_TLSEXT_ERR_OK;
    }
    at += size;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void WatchMessages(int is_write, int /*version*/, int content_type, const void* buf, size_t len,
                   SSL* ssl, void* /*arg*/) {
  if (is_write || content_type != SSL3_RT_HANDSHAKE || len == 0) return;
  if (static_cast<const uint8_t*>(buf)[0] == SSL3_MT_KEY_UPDATE) HooksOf(ssl)->OnKeyUpdate();
}

bool SetAlpn(SSL_CTX* ctx, TlsRole role, const std::string* alpn) {
  if (role == TlsRole::kServer) {
    SSL_CTX_set_alpn_select_cb(ctx, SelectAlpn, const_cast<std::string*>(alpn));
    return true;
  }
  std::string list(1, static_cast<char>(alpn->size()));
  list += *alpn;
  // Returns zero on success, unlike its neighbours.
  return SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const uint8_t*>(list.data()),
                                 static_cast<unsigned>(list.size())) == 0;
}

// With `key`, or else a key that is elsewhere.
bool SetChain(SSL_CTX* ctx, const CertificateChain& chain, EVP_PKEY* key = nullptr) {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> buffers;
  std::vector<CRYPTO_BUFFER*> raw;
  for (const CertificatePtr& certificate : chain) {
    buffers.emplace_back(
        CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(certificate->der().data()),
                          certificate->der().size(), nullptr));
    if (!buffers.back()) return false;
    raw.push_back(buffers.back().get());
  }
  return SSL_CTX_set_chain_and_key(ctx, raw.data(), raw.size(), key,
                                   key == nullptr ? &kRemoteKey : nullptr) == 1;
}

// A TLS 1.3 session is never resumed: BoringSSL does not verify the peer again when it is.
void ForbidResumption(SSL_CTX* ctx) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_early_data_enabled(ctx, 0);
}

// What both kinds have in common. False: the reason is in BoringSSL's error queue.
bool Configure(SSL_CTX* ctx, TlsRole role, uint16_t min_version, const std::string* alpn) {
  // Peers of one identity share their certificate's bytes.
  bssl::UniquePtr<CRYPTO_BUFFER_POOL> pool(CRYPTO_BUFFER_POOL_new());
  if (ctx == nullptr || !pool) return false;
  SSL_CTX_set1_buffer_pool(ctx, pool.get());
  SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, VerifyPeer);
  SSL_CTX_set_max_cert_list(ctx, kMaxPeerChainBytes);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_msg_callback(ctx, WatchMessages);
  ForbidResumption(ctx);
  return SSL_CTX_set_min_proto_version(ctx, min_version) &&
         SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
         SSL_CTX_set1_group_ids(ctx, kGroups, sizeof(kGroups) / sizeof(kGroups[0])) &&
         SetAlpn(ctx, role, alpn);
}

// Towards servers and clients that are not the mesh's: they may be older.
bool ConfigureOutside(SSL_CTX* ctx, TlsRole role, const std::string* alpn) {
  return Configure(ctx, role, TLS1_2_VERSION, alpn) &&
         SSL_CTX_set_strict_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
}

absl::Status CheckAlpn(const std::string& alpn) {
  if (!alpn.empty() && alpn.size() <= 255) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("ALPN protocol of ", alpn.size(), " bytes; 1 to 255 are possible"));
}

}  // namespace

TlsContext::~TlsContext() = default;

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(TlsRole role, std::string alpn,
                                                                     IdentitySnapshotPtr identity,
                                                                     Signer* signer) {
  CHECK(identity != nullptr && signer != nullptr);
  RETURN_IF_ERROR(CheckAlpn(alpn));
  std::shared_ptr<TlsContext> context(new TlsContext());
  context->role_ = role;
  context->alpn_ = std::move(alpn);
  context->identity_ = std::move(identity);
  context->signer_ = signer;
  context->leaf_fingerprint_hex_ = context->identity_->leaf().FingerprintHex();
  context->ctx_.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* const ctx = context->ctx_.get();
  if (!Configure(ctx, role, TLS1_3_VERSION, &context->alpn_) ||
      !SSL_CTX_set_signing_algorithm_prefs(ctx, kSignatureSchemes, 1) ||
      !SetChain(ctx, context->identity_->chain())) {
    return SslError(absl::StatusCode::kInternal, absl::StrCat("cannot make a TLS context for ",
                                                              context->identity_->id().text()));
  }
  return std::shared_ptr<const TlsContext>(std::move(context));
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::CreateForNamedServer(
    std::string alpn, NamedServer server, TlsClientCertificate client) {
  RETURN_IF_ERROR(CheckAlpn(alpn));
  if (server.host.empty()) return absl::InvalidArgumentError("a server without a name to verify");
  if (server.roots.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no certificate to verify ", server.host, " by"));
  }
  std::shared_ptr<TlsContext> context(new TlsContext());
  context->alpn_ = std::move(alpn);
  context->server_ = std::move(server);
  context->ctx_.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* const ctx = context->ctx_.get();
  if (!ConfigureOutside(ctx, TlsRole::kClient, &context->alpn_)) {
    return SslError(absl::StatusCode::kInternal, "cannot make a TLS context");
  }
  if (!client.chain.empty()) {
    CHECK(client.key != nullptr);
    if (!SetChain(ctx, client.chain, client.key->native())) {
      return SslError(absl::StatusCode::kInvalidArgument,
                      "the client certificate and its key do not go together");
    }
  }
  return std::shared_ptr<const TlsContext>(std::move(context));
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::CreateForUnknownServer(
    std::string alpn) {
  RETURN_IF_ERROR(CheckAlpn(alpn));
  std::shared_ptr<TlsContext> context(new TlsContext());
  context->alpn_ = std::move(alpn);
  context->takes_any_server_ = true;
  context->ctx_.reset(SSL_CTX_new(TLS_with_buffers_method()));
  if (!ConfigureOutside(context->ctx_.get(), TlsRole::kClient, &context->alpn_)) {
    return SslError(absl::StatusCode::kInternal, "cannot make a TLS context");
  }
  return std::shared_ptr<const TlsContext>(std::move(context));
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::CreateForAnonymousClients(
    std::string alpn, const CertificateChain& chain, Signer* signer) {
  CHECK(signer != nullptr);
  RETURN_IF_ERROR(CheckAlpn(alpn));
  if (chain.empty()) return absl::InvalidArgumentError("a server without a certificate");
  std::shared_ptr<TlsContext> context(new TlsContext());
  context->role_ = TlsRole::kServer;
  context->alpn_ = std::move(alpn);
  context->signer_ = signer;
  context->leaf_fingerprint_hex_ = chain.front()->FingerprintHex();
  context->ctx_.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* const ctx = context->ctx_.get();
  if (!ConfigureOutside(ctx, TlsRole::kServer, &context->alpn_) ||
      !SSL_CTX_set_signing_algorithm_prefs(ctx, kSignatureSchemes, 1) || !SetChain(ctx, chain)) {
    return SslError(absl::StatusCode::kInternal, "cannot make a TLS context");
  }
  // None is asked for.
  SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_NONE, VerifyPeer);
  return std::shared_ptr<const TlsContext>(std::move(context));
}

}  // namespace byrnie
