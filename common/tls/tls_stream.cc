#include "common/tls/tls_stream.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/check.h"
#include "common/crypto/ssl_error.h"
#include "common/tls/ciphertext_buffer.h"
#include "common/tls/peer_alert.h"
#include "common/tls/peer_verifier.h"
#include "common/tls/tls_hooks.h"
#include "openssl/err.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

// BoringSSL bounds consecutive KeyUpdates; with a byte between them each still costs us two key
// derivations, so their rate is bounded too.
constexpr int kMaxKeyUpdatesPerSecond = 100;

}  // namespace

class TlsStream::Impl final : public TlsHooks, public ByteStream::Observer {
 public:
  Impl(EventLoop* loop, std::unique_ptr<ByteStream> transport,
       std::shared_ptr<const TlsContext> context, Options options, HandshakeCallback on_handshake)
      : loop_(loop),
        transport_(std::move(transport)),
        context_(std::move(context)),
        ciphertext_(transport_.get()),
        handshake_(std::make_unique<Handshake>()) {
    handshake_->options = std::move(options);
    handshake_->callback = std::move(on_handshake);
    work_ = loop_->NewDeferred([this] { OnWork(); });
    handshake_->timer = loop_->NewTimer([this] { OnHandshakeTimeout(); });
  }

  ~Impl() override {
    transport_->SetObserver(nullptr);
    if (pending_sign_) pending_sign_->impl = nullptr;
    if (destroyed_ != nullptr) *destroyed_ = true;
  }

  void Start();

  void SetObserver(Observer* observer);
  IoResult Read(absl::Span<uint8_t> buffer);
  IoResult Write(absl::Span<const uint8_t> data);
  void ShutdownWrite();
  void Reset();
  bool Flushed() const;

  // TlsHooks:
  ssl_verify_result_t VerifyPeer(uint8_t* out_alert) override;
  ssl_private_key_result_t StartSign(uint16_t scheme, const uint8_t* in, size_t size) override;
  ssl_private_key_result_t CompleteSign(uint8_t* out, size_t* out_size, size_t max_out) override;
  void OnKeyUpdate() override;

  // ByteStream::Observer, of the transport:
  void OnReadable() override;
  void OnWritable() override;

  EventLoop* loop() const { return loop_; }
  absl::Status error() const { return error_; }
  const VerifiedSvid& peer() const { return peer_->svid; }
  const CertificateChain& peer_chain() const { return peer_->chain; }
  bool has_peer() const { return peer_.has_value() && state_ != State::kHandshaking; }
  const TlsSessionInfo& session() const { return session_; }
  const TlsContext& context() const { return *context_; }
  const ByteStream& transport() const { return *transport_; }
  size_t buffered_bytes() const { return ciphertext_.allocated(); }

 private:
  enum class State { kHandshaking, kOpen, kBroken };

  // Lives only as long as the handshake.
  struct Handshake {
    Options options;
    HandshakeCallback callback;
    std::unique_ptr<EventLoop::Timer> timer;
    absl::Status failure;  // The reason where we are the ones who end it.
    absl::optional<absl::StatusOr<std::string>> signature;
    absl::optional<absl::Status> result;  // What the callback is to hear.
  };

  // What a signer's answer finds; survives the stream.
  struct PendingSign {
    Impl* impl;
  };

  void DriveHandshake();
  void OnSigned(absl::StatusOr<std::string> signature);
  void OnHandshakeTimeout();
  void FinishHandshake();
  void FailHandshake(absl::Status status);
  absl::Status HandshakeError(int ssl_error);
  absl::Status SessionError(int ssl_error);

  // Sends what is gathered and what depends on it: close_notify's FIN, a reset. False when broken.
  bool FlushOut();
  void OnWriteFailed();
  void Break(absl::Status status);
  void SendCloseNotify();

  void Schedule() { work_->Schedule(); }
  void OnWork();
  // Upcalls; each returns false when the stream has been destroyed meanwhile.
  bool TellHandshake();
  bool TellReadable();
  bool TellWritable();
  template <typename Upcall>
  bool Call(Upcall upcall) {
    bool destroyed = false;
    bool* const outer = destroyed_;
    destroyed_ = &destroyed;
    upcall();
    if (destroyed) {
      if (outer != nullptr) *outer = true;
      return false;
    }
    destroyed_ = outer;
    return true;
  }
  bool WriterMayGoOn() const {
    return state_ == State::kBroken ||
           (state_ == State::kOpen && ciphertext_.unsent() <= CiphertextBuffer::kLowMark);
  }

  EventLoop* const loop_;  // Not owned.
  const std::unique_ptr<ByteStream> transport_;
  const std::shared_ptr<const TlsContext> context_;
  CiphertextBuffer ciphertext_;
  bssl::UniquePtr<SSL> ssl_;
  std::unique_ptr<EventLoop::Deferred> work_;
  std::unique_ptr<Handshake> handshake_;
  std::shared_ptr<PendingSign> pending_sign_;
  Observer* observer_ = nullptr;  // Not owned.
  bool* destroyed_ = nullptr;     // Set while an upcall runs.

  State state_ = State::kHandshaking;
  absl::Status error_;
  absl::optional<ProvenPeer> peer_;
  TlsSessionInfo session_;

  bool read_wanted_ = false;    // The reader waits to hear.
  bool write_wanted_ = false;   // The writer waits to hear.
  bool flush_awaited_ = false;  // Something was not flushed when last seen.
  bool tell_readable_ = false;  // To be told in OnWork.
  bool tell_writable_ = false;
  bool read_ended_ = false;    // close_notify was received.
  bool write_failed_ = false;  // The transport takes no more; what it still has to give is read.
  bool shutdown_wanted_ = false;
  bool close_notify_sent_ = false;
  bool transport_shut_ = false;
  bool reset_wanted_ = false;
  bool transport_reset_ = false;
  bool graceful_break_ = false;  // After the alert a FIN, so that the peer surely reads it.

  absl::Duration key_update_window_;
  int key_updates_ = 0;
};

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

void TlsStream::Impl::DriveHandshake() {
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
  FailHandshake(absl::DeadlineExceededError(
      absl::StrCat("TLS handshake took longer than ", absl::FormatDuration(timeout),
                   ", waiting for ", pending_sign_ ? "our signer" : "the peer")));
}

ssl_verify_result_t TlsStream::Impl::VerifyPeer(uint8_t* out_alert) {
  // The protocol is agreed on before certificates are judged, on either side. A client that offers
  // none or a server that picks none would otherwise slip through.
  const uint8_t* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &alpn_size);
  const std::string& wanted = context_->alpn();
  if (alpn_size != wanted.size() || memcmp(alpn, wanted.data(), alpn_size) != 0) {
    handshake_->failure = absl::UnauthenticatedError(
        absl::StrCat("peer does not speak the application protocol \"", wanted, "\""));
    *out_alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return ssl_verify_invalid;
  }
  absl::StatusOr<ProvenPeer> proven =
      byrnie::VerifyPeer(SSL_get0_peer_certificates(ssl_.get()), context_->identity(),
                         handshake_->options.allowed_peers, loop_->WallNow(), out_alert);
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
    handshake_->failure = absl::Status(
        signature.status().code(),
        absl::StrCat("our signer did not sign the TLS handshake: ", signature.status().message()));
    return ssl_private_key_failure;
  }
  if (signature->size() > max_out) {
    handshake_->failure = absl::UnavailableError(
        absl::StrCat("our signer gave a signature of ", signature->size(), " bytes"));
    return ssl_private_key_failure;
  }
  memcpy(out, signature->data(), signature->size());
  *out_size = signature->size();
  return ssl_private_key_success;
}

void TlsStream::Impl::OnKeyUpdate() {
  const absl::Duration now = loop_->Now();
  if (now - key_update_window_ >= absl::Seconds(1)) {
    key_update_window_ = now;
    key_updates_ = 0;
  }
  ++key_updates_;
}

bool TlsStream::Impl::FlushOut() {
  const IoStatus status = ciphertext_.Flush();
  if (status == IoStatus::kError) {
    OnWriteFailed();
    return state_ != State::kBroken;
  }
  if (ciphertext_.unsent() == 0) {
    if (reset_wanted_ && !transport_reset_) {
      transport_reset_ = true;
      transport_->Reset();
    } else if (close_notify_sent_ && !transport_shut_) {
      transport_shut_ = true;
      transport_->ShutdownWrite();
    }
  }
  flush_awaited_ = !Flushed();
  return true;
}

void TlsStream::Impl::OnWriteFailed() {
  if (write_failed_ || state_ == State::kBroken) return;
  write_failed_ = true;
  const absl::Status lost = transport_->error();
  absl::Status status = absl::UnavailableError(absl::StrCat(
      "connection lost: ", lost.ok() ? absl::string_view("cannot write") : lost.message()));
  if (state_ == State::kHandshaking) {
    FailHandshake(std::move(status));
    return;
  }
  error_ = std::move(status);
  // The peer's last words tell more than a broken pipe does: a server that refuses our certificate
  // says so and closes. Bytes it sent before are still the reader's.
  uint8_t byte;
  ERR_clear_error();
  const int result = SSL_peek(ssl_.get(), &byte, 1);
  if (result <= 0) {
    const int ssl_error = SSL_get_error(ssl_.get(), result);
    if (ssl_error == SSL_ERROR_SSL) {
      Break(SessionError(ssl_error));
    } else if (ssl_error != SSL_ERROR_ZERO_RETURN) {
      DrainSslErrors();
      Break(error_);
    }
  }
  tell_readable_ = tell_writable_ = true;
  Schedule();
}

void TlsStream::Impl::Break(absl::Status status) {
  if (state_ == State::kBroken) return;
  state_ = State::kBroken;
  error_ = std::move(status);
  // The alert for the peer is gathered already; it leaves if the transport takes it now.
  if (!ciphertext_.broken() && !write_failed_) ciphertext_.Flush();
  if (graceful_break_) {
    transport_->ShutdownWrite();
  } else {
    transport_->Reset();
  }
  tell_readable_ = tell_writable_ = true;
  Schedule();
}

absl::Status TlsStream::Impl::SessionError(int ssl_error) {
  if (ssl_error == SSL_ERROR_SSL) {
    const absl::optional<uint8_t> alert = PeerAlertOf(ERR_peek_error());
    if (alert.has_value()) {
      DrainSslErrors();
      return PeerAlertStatus(*alert);
    }
    return SslError(absl::StatusCode::kDataLoss, "TLS session broken");
  }
  DrainSslErrors();
  if (ciphertext_.eof()) {
    return absl::DataLossError("peer ended the connection without close_notify: truncated");
  }
  const absl::Status lost = transport_->error();
  return absl::UnavailableError(absl::StrCat(
      "connection lost: ", lost.ok() ? absl::string_view("no reason given") : lost.message()));
}

IoResult TlsStream::Impl::Read(absl::Span<uint8_t> buffer) {
  if (state_ == State::kBroken || reset_wanted_) return {0, IoStatus::kError};
  if (read_ended_) return {0, IoStatus::kEof};
  if (state_ == State::kHandshaking) {
    read_wanted_ = true;
    return {0, IoStatus::kWouldBlock};
  }
  size_t total = 0;
  while (total < buffer.size()) {
    ERR_clear_error();
    const int size = static_cast<int>(std::min<size_t>(buffer.size() - total, INT_MAX));
    const int result = SSL_read(ssl_.get(), buffer.data() + total, size);
    const int ssl_error = result > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), result);
    if (key_updates_ > kMaxKeyUpdatesPerSecond) {
      Break(absl::UnavailableError(absl::StrCat("peer sent more than ", kMaxKeyUpdatesPerSecond,
                                                " TLS key updates in a second")));
      return {0, IoStatus::kError};
    }
    if (ssl_error == SSL_ERROR_NONE) {
      total += static_cast<size_t>(result);
      continue;
    }
    if (ssl_error == SSL_ERROR_WANT_READ) {
      read_wanted_ = true;
      return {total, IoStatus::kWouldBlock};
    }
    if (ssl_error == SSL_ERROR_ZERO_RETURN) {
      read_ended_ = true;
      return total > 0 ? IoResult{total, IoStatus::kOk} : IoResult{0, IoStatus::kEof};
    }
    Break(SessionError(ssl_error));
    return total > 0 ? IoResult{total, IoStatus::kOk} : IoResult{0, IoStatus::kError};
  }
  return {total, IoStatus::kOk};
}

IoResult TlsStream::Impl::Write(absl::Span<const uint8_t> data) {
  if (state_ == State::kBroken || write_failed_ || reset_wanted_ || shutdown_wanted_) {
    return {0, IoStatus::kError};
  }
  if (state_ == State::kHandshaking) {
    write_wanted_ = true;
    return {0, IoStatus::kWouldBlock};
  }
  size_t total = 0;
  while (total < data.size()) {
    if (ciphertext_.unsent() >= CiphertextBuffer::kHighMark) {
      if (!FlushOut() || write_failed_) return {0, IoStatus::kError};
      if (ciphertext_.unsent() >= CiphertextBuffer::kHighMark) {
        write_wanted_ = true;
        return {total, IoStatus::kWouldBlock};
      }
    }
    ERR_clear_error();
    const int size = static_cast<int>(std::min<size_t>(data.size() - total, INT_MAX));
    const int result = SSL_write(ssl_.get(), data.data() + total, size);
    if (result <= 0) {
      Break(SslError(absl::StatusCode::kInternal, "cannot seal a TLS record"));
      return {0, IoStatus::kError};
    }
    total += static_cast<size_t>(result);
  }
  if (!FlushOut() || write_failed_) return {0, IoStatus::kError};
  return {total, IoStatus::kOk};
}

void TlsStream::Impl::ShutdownWrite() {
  if (shutdown_wanted_ || reset_wanted_ || state_ == State::kBroken || write_failed_) return;
  shutdown_wanted_ = true;
  if (state_ != State::kOpen) return;  // After the handshake.
  SendCloseNotify();
  FlushOut();
}

void TlsStream::Impl::SendCloseNotify() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());  // Only gathers the alert, which cannot block.
  close_notify_sent_ = true;
}

void TlsStream::Impl::Reset() {
  if (reset_wanted_) return;
  reset_wanted_ = true;
  if (state_ == State::kHandshaking) {
    graceful_break_ = false;
    handshake_->result = absl::UnavailableError("the stream was reset during the TLS handshake");
    handshake_->timer->Cancel();
    Break(*handshake_->result);
    return;
  }
  if (state_ == State::kBroken || write_failed_) {
    transport_reset_ = true;
    transport_->Reset();
    return;
  }
  FlushOut();
}

bool TlsStream::Impl::Flushed() const {
  if (state_ == State::kBroken) return true;
  if (ciphertext_.unsent() > 0 || (shutdown_wanted_ && !transport_shut_ && !write_failed_)) {
    return write_failed_;
  }
  return transport_->Flushed();
}

void TlsStream::Impl::SetObserver(Observer* observer) {
  observer_ = observer;
  if (observer == nullptr) {
    tell_readable_ = tell_writable_ = false;
    return;
  }
  if (state_ == State::kHandshaking) {
    read_wanted_ = write_wanted_ = true;
    return;
  }
  if (state_ == State::kBroken || read_ended_ || SSL_pending(ssl_.get()) > 0 ||
      ciphertext_.MayRead()) {
    tell_readable_ = true;
  } else {
    read_wanted_ = true;
  }
  if (WriterMayGoOn()) {
    tell_writable_ = true;
  } else {
    write_wanted_ = true;
  }
  Schedule();
}

void TlsStream::Impl::OnReadable() {
  ciphertext_.OnTransportReadable();
  if (state_ == State::kHandshaking) {
    if (!pending_sign_) DriveHandshake();
    return;
  }
  if (read_wanted_) TellReadable();
}

void TlsStream::Impl::OnWritable() {
  ciphertext_.OnTransportWritable();
  const bool awaited = flush_awaited_;
  if (state_ != State::kBroken) FlushOut();
  if (state_ == State::kHandshaking) return;
  if ((write_wanted_ && WriterMayGoOn()) || (awaited && Flushed())) TellWritable();
}

void TlsStream::Impl::OnWork() {
  if (state_ == State::kHandshaking) {
    if (!pending_sign_) DriveHandshake();
    return;
  }
  if (!TellHandshake()) return;
  if (tell_readable_ && !TellReadable()) return;
  if (tell_writable_) TellWritable();
}

bool TlsStream::Impl::TellHandshake() {
  if (!handshake_ || !handshake_->result.has_value()) return true;
  HandshakeCallback callback = std::move(handshake_->callback);
  const absl::Status result = *std::move(handshake_->result);
  handshake_.reset();
  return Call([&] { callback(result); });
}

bool TlsStream::Impl::TellReadable() {
  tell_readable_ = read_wanted_ = false;
  return observer_ == nullptr || Call([this] { observer_->OnReadable(); });
}

bool TlsStream::Impl::TellWritable() {
  tell_writable_ = write_wanted_ = false;
  return observer_ == nullptr || Call([this] { observer_->OnWritable(); });
}

std::unique_ptr<TlsStream> TlsStream::Create(EventLoop* loop, std::unique_ptr<ByteStream> transport,
                                             std::shared_ptr<const TlsContext> context,
                                             Options options, HandshakeCallback on_handshake) {
  DCHECK(loop->InLoopThread());
  auto impl = std::make_unique<Impl>(loop, std::move(transport), std::move(context),
                                     std::move(options), std::move(on_handshake));
  impl->Start();
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(impl)));
}

TlsStream::TlsStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsStream::~TlsStream() { DCHECK(impl_->loop()->InLoopThread()); }

void TlsStream::SetObserver(Observer* observer) {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->SetObserver(observer);
}
IoResult TlsStream::Read(absl::Span<uint8_t> buffer) {
  DCHECK(impl_->loop()->InLoopThread());
  return impl_->Read(buffer);
}
IoResult TlsStream::Write(absl::Span<const uint8_t> data) {
  DCHECK(impl_->loop()->InLoopThread());
  return impl_->Write(data);
}
void TlsStream::ShutdownWrite() {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->ShutdownWrite();
}
void TlsStream::Reset() {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->Reset();
}
bool TlsStream::Flushed() const { return impl_->Flushed(); }
absl::Status TlsStream::error() const { return impl_->error(); }

const VerifiedSvid& TlsStream::peer() const {
  CHECK(impl_->has_peer());
  return impl_->peer();
}
const CertificateChain& TlsStream::peer_chain() const {
  CHECK(impl_->has_peer());
  return impl_->peer_chain();
}
const TlsSessionInfo& TlsStream::session() const { return impl_->session(); }
const TlsContext& TlsStream::context() const { return impl_->context(); }
const ByteStream& TlsStream::transport() const { return impl_->transport(); }
size_t TlsStream::buffered_bytes() const { return impl_->buffered_bytes(); }

}  // namespace byrnie
