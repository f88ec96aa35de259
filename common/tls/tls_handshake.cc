// From the first flight to the verdict on the peer.
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "common/net/socket_address.h"
#include "common/tls/handshake_fault.h"
#include "common/tls/named_server.h"
#include "common/tls/peer_alert.h"
#include "common/tls/tls_stream_impl.h"
#include "openssl/err.h"

namespace byrnie {

void TlsStream::Impl::Start() {
  ssl_.reset(SSL_new(context_->native()));
  bssl::UniquePtr<BIO> bio = ciphertext_.NewBio();
  if (!ssl_ || !bio) {
    FailHandshake(SslError(absl::StatusCode::kUnavailable, "cannot start a TLS session"));
    return;
  }
  SSL_set_app_data(ssl_.get(), static_cast<TlsHooks*>(this));
  // Takes one reference for both directions.
  BIO* const both = bio.release();
  SSL_set_bio(ssl_.get(), both, both);
  const NamedServer* const server = context_->named_server();
  if (server != nullptr && !IpAddress::Parse(server->host).ok() &&
      !SSL_set_tlsext_host_name(ssl_.get(), server->host.c_str())) {
    FailHandshake(SslError(absl::StatusCode::kInvalidArgument, "not a host name"));
    return;
  }
  SSL_set_shed_handshake_config(ssl_.get(), 1);
  if (context_->role() == TlsRole::kServer) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
  transport_->SetObserver(this);
  handshake_->timer->Schedule(handshake_->options.handshake_timeout);
  Schedule();  // The first step, outside the caller's call.
}

void TlsStream::Impl::StepHandshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  const int ssl_error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), result);
  if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_PRIVATE_KEY_OPERATION) {
    FlushOut();
    return;
  }
  if (ssl_error != SSL_ERROR_NONE) {
    FailHandshake(HandshakeError(ssl_error));
    return;
  }
  FinishHandshake();
}

void TlsStream::Impl::FinishHandshake() {
  session_.version = SSL_get_version(ssl_.get());
  session_.cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl_.get()));
  const char* group = SSL_get_group_name(SSL_get_group_id(ssl_.get()));
  session_.group = group == nullptr ? "" : group;
  session_.alpn = context_->alpn();
  state_ = State::kOpen;
  handshake_->timer->Cancel();
  handshake_->result = absl::OkStatus();
  tell_readable_ = tell_readable_ || read_wanted_;
  tell_writable_ = tell_writable_ || write_wanted_;
  if (shutdown_wanted_) SendCloseNotify();
  FlushOut();
  Schedule();
}

void TlsStream::Impl::FailHandshake(absl::Status status) {
  if (state_ == State::kBroken) return;
  handshake_->result = status;
  handshake_->timer->Cancel();
  graceful_break_ = status.code() != absl::StatusCode::kDeadlineExceeded;
  Break(std::move(status));
}

absl::Status TlsStream::Impl::HandshakeError(int ssl_error) {
  if (!handshake_->failure.ok()) {
    DrainSslErrors();
    return handshake_->failure;
  }
  if (ssl_error == SSL_ERROR_SSL) {
    const absl::optional<uint8_t> alert = PeerAlertOf(ERR_peek_error());
    if (alert.has_value()) {
      DrainSslErrors();
      return PeerAlertStatus(*alert);
    }
    return SslError(absl::StatusCode::kUnauthenticated, "TLS handshake failed");
  }
  DrainSslErrors();
  if (ssl_error == SSL_ERROR_ZERO_RETURN || ciphertext_.eof()) {
    return absl::UnavailableError("peer ended the connection during the TLS handshake");
  }
  const absl::Status lost = transport_->error();
  return absl::UnavailableError(
      absl::StrCat("connection lost during the TLS handshake: ",
                   lost.ok() ? absl::string_view("no reason given") : lost.message()));
}

void TlsStream::Impl::OnHandshakeTimeout() {
  const absl::Duration timeout = handshake_->options.handshake_timeout;
  absl::Status status = absl::DeadlineExceededError(
      absl::StrCat("TLS handshake took longer than ", absl::FormatDuration(timeout),
                   ", waiting for ", pending_sign_ ? "our signer" : "the peer"));
  FailHandshake(pending_sign_ ? OwnFault(std::move(status)) : std::move(status));
}

ssl_verify_result_t TlsStream::Impl::VerifyPeer(uint8_t* out_alert) {
  // The protocol is agreed on before certificates are judged, on either side. A client that offers
  // none or a server that picks none would otherwise slip through.
  const uint8_t* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &alpn_size);
  const std::string& wanted = context_->alpn();
  const NamedServer* const server = context_->named_server();
  const bool agreed = alpn_size == wanted.size() && memcmp(alpn, wanted.data(), alpn_size) == 0;
  const bool outside = server != nullptr || context_->takes_any_server();
  if (!agreed && !(outside && alpn_size == 0)) {
    handshake_->failure = absl::UnauthenticatedError(
        absl::StrCat("peer does not speak the application protocol \"", wanted, "\""));
    *out_alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return ssl_verify_invalid;
  }
  if (context_->takes_any_server()) return ssl_verify_ok;
  if (server != nullptr) {
    handshake_->failure = VerifyNamedServer(SSL_get0_peer_certificates(ssl_.get()), *server,
                                            loop_->WallNow(), out_alert);
    return handshake_->failure.ok() ? ssl_verify_ok : ssl_verify_invalid;
  }
  absl::StatusOr<ProvenPeer> proven = byrnie::VerifyPeer(
      SSL_get0_peer_certificates(ssl_.get()), context_->identity(),
      handshake_->options.allowed_peers, handshake_->options.federated, loop_->WallNow(),
      context_->peer_certificates(), context_->verified_paths(), out_alert);
  if (!proven.ok()) {
    handshake_->failure = proven.status();
    return ssl_verify_invalid;
  }
  peer_ = *std::move(proven);
  return ssl_verify_ok;
}

ssl_private_key_result_t TlsStream::Impl::StartSign(uint16_t scheme, const uint8_t* in,
                                                    size_t size) {
  pending_sign_ = std::make_shared<PendingSign>(PendingSign{this});
  context_->signer()->Sign(context_->leaf_fingerprint_hex(), scheme,
                           std::string(reinterpret_cast<const char*>(in), size), loop_,
                           [pending = pending_sign_](absl::StatusOr<std::string> signature) {
                             if (pending->impl != nullptr)
                               pending->impl->OnSigned(std::move(signature));
                           });
  return ssl_private_key_retry;
}

void TlsStream::Impl::OnSigned(absl::StatusOr<std::string> signature) {
  pending_sign_.reset();
  if (state_ != State::kHandshaking) return;
  handshake_->signature = std::move(signature);
  DriveHandshake();
}

ssl_private_key_result_t TlsStream::Impl::CompleteSign(uint8_t* out, size_t* out_size,
                                                       size_t max_out) {
  if (!handshake_->signature.has_value()) return ssl_private_key_retry;
  const absl::StatusOr<std::string> signature = *std::move(handshake_->signature);
  handshake_->signature.reset();
  if (!signature.ok()) {
    handshake_->failure = OwnFault(absl::Status(
        signature.status().code(),
        absl::StrCat("our signer did not sign the TLS handshake: ", signature.status().message())));
    return ssl_private_key_failure;
  }
  if (signature->size() > max_out) {
    handshake_->failure = OwnFault(absl::UnavailableError(
        absl::StrCat("our signer gave a signature of ", signature->size(), " bytes")));
    return ssl_private_key_failure;
  }
  memcpy(out, signature->data(), signature->size());
  *out_size = signature->size();
  return ssl_private_key_success;
}

bool TlsStream::Impl::TellHandshake() {
  if (!handshake_ || !handshake_->result.has_value()) return true;
  HandshakeCallback callback = std::move(handshake_->callback);
  const absl::Status result = *std::move(handshake_->result);
  handshake_.reset();
  return Call([&] { callback(result); });
}

}  // namespace byrnie
