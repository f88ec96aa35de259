#include "common/tls/tls_stream.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/crypto/ssl_error.h"
#include "common/tls/peer_alert.h"
#include "common/tls/session_fault.h"
#include "common/tls/tls_stream_impl.h"
#include "openssl/err.h"

namespace byrnie {
namespace {

// BoringSSL bounds consecutive KeyUpdates and empty records; with a byte between them each still
// costs us two key derivations or a decryption for nothing, so their rates are bounded too. Tiny
// records carry data, and any number of them is fine.
constexpr int kMaxKeyUpdatesPerSecond = 100;
constexpr int kMaxBarrenRecordsPerSecond = 100;
// Fills what is left of a short budget; less would be records of a few bytes.
constexpr size_t kLeastRecord = 2 * 1024;
// Most transports end with the peer's close_notify; one that does not costs nobody anything.
constexpr absl::Duration kEndPatience = absl::Seconds(1);

// Whether BoringSSL's own bounds ended the session.
bool IsFlood(uint32_t error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return false;
  switch (ERR_GET_REASON(error)) {
    case SSL_R_TOO_MANY_EMPTY_FRAGMENTS:
    case SSL_R_TOO_MANY_KEY_UPDATES:
    case SSL_R_TOO_MANY_WARNING_ALERTS:
      return true;
    default:
      return false;
  }
}

}  // namespace

void TlsStream::Impl::OnKeyUpdate() {
  BeginSecond();
  ++key_updates_;
}

void TlsStream::Impl::BeginSecond() {
  const absl::Duration now = loop_->Now();
  if (now - flood_window_ < absl::Seconds(1)) return;
  flood_window_ = now;
  key_updates_ = 0;
  barren_records_ = 0;
}

bool TlsStream::Impl::IsFlooded(uint64_t records_before, bool data) {
  const uint64_t records = SSL_get_read_sequence(ssl_.get());
  // Lower after a new key, which is counted as such.
  const uint64_t fruitful = data ? 1 : 0;
  if (records > records_before + fruitful) {
    BeginSecond();
    barren_records_ += static_cast<int>(records - records_before - fruitful);
  }
  absl::string_view what;
  if (key_updates_ > kMaxKeyUpdatesPerSecond) {
    what = "TLS key updates";
  } else if (barren_records_ > kMaxBarrenRecordsPerSecond) {
    what = "TLS records without data";
  } else {
    return false;
  }
  Break(WithSessionFault(
      absl::UnavailableError(absl::StrCat("peer sent too many ", what, " in a second")),
      SessionFault::kFlood));
  return true;
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
  if (flush_awaited_ && IsFlushed()) {
    flush_awaited_ = false;
    tell_writable_ = true;
    Schedule();
  }
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
  // says so and closes. Bytes it sent before are still the reader's. They may be there already
  // although nobody has been told yet.
  ciphertext_.OnTransportReadable();
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
    const SessionFault fault =
        IsFlood(ERR_peek_error()) ? SessionFault::kFlood : SessionFault::kProtocol;
    return WithSessionFault(SslError(absl::StatusCode::kDataLoss, "TLS session broken"), fault);
  }
  DrainSslErrors();
  if (ciphertext_.eof()) {
    return WithSessionFault(
        absl::DataLossError("peer ended the connection without close_notify: truncated"),
        SessionFault::kTruncated);
  }
  const absl::Status lost = transport_->error();
  return absl::UnavailableError(absl::StrCat(
      "connection lost: ", lost.ok() ? absl::string_view("no reason given") : lost.message()));
}

IoResult TlsStream::Impl::Read(absl::Span<uint8_t> buffer) {
  if (state_ == State::kBroken || reset_wanted_) return {0, IoStatus::kError};
  if (read_ended_) return TellEnd();
  if (state_ == State::kHandshaking) {
    read_wanted_ = true;
    return {0, IoStatus::kWouldBlock};
  }
  size_t total = 0;
  ciphertext_.set_reader_room(buffer.size());
  while (total < buffer.size()) {
    ERR_clear_error();
    // Half a record may be all that is left of the room, and the transport's next bytes would have
    // to be kept.
    ciphertext_.HoldReads(total > 0);
    const int size = static_cast<int>(std::min<size_t>(buffer.size() - total, INT_MAX));
    const uint64_t records = SSL_get_read_sequence(ssl_.get());
    const int result = SSL_read(ssl_.get(), buffer.data() + total, size);
    ciphertext_.HoldReads(false);
    const int ssl_error = result > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), result);
    if (IsFlooded(records, result > 0)) return {0, IoStatus::kError};
    if (ssl_error == SSL_ERROR_NONE) {
      total += static_cast<size_t>(result);
      continue;
    }
    if (ssl_error == SSL_ERROR_WANT_READ) {
      if (total > 0 && ciphertext_.MayRead()) return {total, IoStatus::kOk};
      read_wanted_ = true;
      return {total, IoStatus::kWouldBlock};
    }
    if (ssl_error == SSL_ERROR_ZERO_RETURN) {
      read_ended_ = true;
      return total > 0 ? IoResult{total, IoStatus::kOk} : TellEnd();
    }
    Break(SessionError(ssl_error));
    return total > 0 ? IoResult{total, IoStatus::kOk} : IoResult{0, IoStatus::kError};
  }
  return {total, IoStatus::kOk};
}

IoResult TlsStream::Impl::TellEnd() {
  end_told_ = true;
  WatchAfterEnd();
  return {0, IoStatus::kEof};
}

void TlsStream::Impl::WatchAfterEnd() {
  if (state_ != State::kOpen || write_failed_) return;
  uint8_t ignored[1024];
  // What follows a close_notify is ignored (RFC 8446 section 6.1); whoever sends much of it is not
  // listened to any more.
  for (int i = 0; i < 64; ++i) {
    const IoStatus status = transport_->Read(absl::MakeSpan(ignored)).status;
    // A peer that has closed may answer our own end with a reset.
    if (status == IoStatus::kEof || (status == IoStatus::kError && transport_shut_)) {
      OnTransportEnd();
      return;
    }
    if (status == IoStatus::kError) {
      const absl::Status lost = transport_->error();
      Break(absl::UnavailableError(
          absl::StrCat("connection lost after the peer's end: ",
                       lost.ok() ? absl::string_view("no reason given") : lost.message())));
      return;
    }
    if (status != IoStatus::kOk) return;
  }
}

void TlsStream::Impl::OnTransportEnd() {
  transport_ended_ = true;
  end_timer_.reset();
  if (!flush_awaited_ || !IsFlushed()) return;
  flush_awaited_ = false;
  tell_writable_ = true;
  Schedule();
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
    const size_t most = ciphertext_.high_mark();
    if (ciphertext_.unsent() >= most) {
      if (!FlushOut() || write_failed_) return {0, IoStatus::kError};
      if (ciphertext_.unsent() >= ciphertext_.high_mark()) {
        write_wanted_ = true;
        return {total, IoStatus::kWouldBlock};
      }
      continue;
    }
    ERR_clear_error();
    UpdateKey();
    const size_t room = std::max(most - ciphertext_.unsent(), kLeastRecord);
    const int size = static_cast<int>(std::min(data.size() - total, room));
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

void TlsStream::Impl::UpdateKey() {
  if (SSL_get_write_sequence(ssl_.get()) < records_per_key_) return;
  // Only queues it, before the next record. Without memory the present key goes on: it is far from
  // what it may seal, and the next record tries again.
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED)) ++sending_keys_;
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

void TlsStream::Impl::ResetWith(uint32_t code) {
  const absl::optional<uint8_t> alert = AlertOfEndCode(code);
  if (alert.has_value() && state_ == State::kOpen && !shutdown_wanted_ && !reset_wanted_ &&
      !write_failed_) {
    ERR_clear_error();
    SSL_send_fatal_alert(ssl_.get(), *alert);  // Only gathers it, behind what was written.
  }
  Reset();
}

void TlsStream::Impl::DenyAccess() {
  DCHECK(state_ != State::kHandshaking);
  if (state_ != State::kOpen || shutdown_wanted_ || reset_wanted_ || write_failed_) return;
  ERR_clear_error();
  SSL_send_fatal_alert(ssl_.get(), SSL_AD_ACCESS_DENIED);  // Only gathers it, as all output.
  // A reset could overtake it.
  graceful_break_ = true;
  Break(absl::PermissionDeniedError("access was denied to the peer"));
}

bool TlsStream::Impl::Flushed() const {
  const bool flushed = IsFlushed();
  if (flushed) return true;
  flush_awaited_ = true;
  if (AwaitsTransportEnd() && end_timer_ == nullptr) {
    auto* const self = const_cast<Impl*>(this);
    end_timer_ = loop_->NewTimer([self] { self->OnTransportEnd(); });
    end_timer_->Schedule(kEndPatience);
  }
  return false;
}

bool TlsStream::Impl::IsFlushed() const {
  if (state_ == State::kBroken) return true;
  if (ciphertext_.unsent() > 0 || (shutdown_wanted_ && !transport_shut_ && !write_failed_)) {
    return write_failed_;
  }
  if (AwaitsTransportEnd()) return false;
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
  if (end_told_) {
    WatchAfterEnd();
    return;
  }
  if (read_wanted_ || (hears_of_loss_ && Lost())) TellReadable();
}

void TlsStream::Impl::OnWritable() {
  ciphertext_.OnTransportWritable();
  if (state_ != State::kBroken) FlushOut();
  AccountBuffers();
  if (state_ == State::kHandshaking) return;
  if (write_wanted_ && WriterMayGoOn()) TellWritable();
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
  const IoResult result = impl_->Read(buffer);
  impl_->AccountBuffers();
  return result;
}
IoResult TlsStream::Write(absl::Span<const uint8_t> data) {
  DCHECK(impl_->loop()->InLoopThread());
  const IoResult result = impl_->Write(data);
  impl_->AccountBuffers();
  return result;
}
size_t TlsStream::Room() const { return impl_->Room(); }
void TlsStream::ShutdownWrite() {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->ShutdownWrite();
  impl_->AccountBuffers();
}
void TlsStream::Reset() {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->Reset();
  impl_->AccountBuffers();
}

void TlsStream::ResetWith(uint32_t code) {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->ResetWith(code);
  impl_->AccountBuffers();
}
void TlsStream::DenyAccess() {
  DCHECK(impl_->loop()->InLoopThread());
  impl_->DenyAccess();
  impl_->AccountBuffers();
}
bool TlsStream::Flushed() const { return impl_->Flushed(); }
uint64_t TlsStream::Undelivered() const { return impl_->Undelivered(); }
absl::Duration TlsStream::Unheard() const { return impl_->Unheard(); }
absl::Duration TlsStream::ShortestRoundTrip() const { return impl_->ShortestRoundTrip(); }
void TlsStream::ShortenKeepalive() { impl_->ShortenKeepalive(); }
bool TlsStream::Lost() const { return impl_->Lost(); }
void TlsStream::HearOfLoss(bool hears) { impl_->HearOfLoss(hears); }
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
uint64_t TlsStream::sending_keys() const { return impl_->sending_keys(); }
const ByteStream& TlsStream::transport() const { return impl_->transport(); }
bool TlsStream::waits_for_signer() const { return impl_->waits_for_signer(); }
size_t TlsStream::buffered_bytes() const { return impl_->buffered_bytes(); }

}  // namespace byrnie
