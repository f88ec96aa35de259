#ifndef BYRNIE_COMMON_TLS_TLS_STREAM_IMPL_H_
#define BYRNIE_COMMON_TLS_TLS_STREAM_IMPL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/tls/ciphertext_buffer.h"
#include "common/tls/peer_verifier.h"
#include "common/tls/tls_hooks.h"
#include "common/tls/tls_stream.h"
#include "openssl/ssl.h"

namespace byrnie {

// The TlsStream: an SSL between a CiphertextBuffer and the reader and writer. The handshake, with
// what it asks of verifier and signer, is tls_handshake.cc; the open stream is tls_stream.cc.
class TlsStream::Impl final : public TlsHooks, public ByteStream::Observer {
 public:
  Impl(EventLoop* loop, std::unique_ptr<ByteStream> transport,
       std::shared_ptr<const TlsContext> context, Options options, HandshakeCallback on_handshake)
      : loop_(loop),
        transport_(std::move(transport)),
        context_(std::move(context)),
        ciphertext_(transport_.get(), options.budget, options.scratch),
        records_per_key_(options.records_per_key),
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
  size_t Room() const {
    return state_ == State::kOpen && ciphertext_.unsent() == 0 ? transport_->Room() : 0;
  }
  void ShutdownWrite();
  void Reset();
  void ResetWith(uint32_t code);
  void DenyAccess();
  bool Flushed() const;
  uint64_t Undelivered() const {
    return (IsFlushed() ? 0 : 1 + ciphertext_.unsent()) + transport_->Undelivered();
  }
  absl::Duration Unheard() const { return transport_->Unheard(); }
  absl::Duration ShortestRoundTrip() const { return transport_->ShortestRoundTrip(); }
  void ShortenKeepalive() { transport_->ShortenKeepalive(); }
  bool Lost() const {
    return state_ == State::kBroken || write_failed_ || (transport_->Lost() && !transport_shut_);
  }
  void HearOfLoss(bool hears) {
    hears_of_loss_ = hears;
    transport_->HearOfLoss(hears);
  }

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
  bool waits_for_signer() const { return pending_sign_ != nullptr; }
  size_t buffered_bytes() const { return ciphertext_.allocated(); }
  uint64_t sending_keys() const { return sending_keys_; }
  // Of the end of each event: the budget is told what the stream holds now.
  void AccountBuffers() {
    ciphertext_.Settle(ssl_ && SSL_has_pending(ssl_.get()) ? kRecordBytes : 0);
  }

 private:
  enum class State { kHandshaking, kOpen, kBroken };
  // What BoringSSL keeps of a record that is there in part, or read in part.
  static constexpr size_t kRecordBytes = 17 * 1024;

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

  void DriveHandshake() {
    StepHandshake();
    AccountBuffers();
  }
  void StepHandshake();
  void OnSigned(absl::StatusOr<std::string> signature);
  void OnHandshakeTimeout();
  void FinishHandshake();
  void FailHandshake(absl::Status status);
  absl::Status HandshakeError(int ssl_error);
  absl::Status SessionError(int ssl_error);

  // Sends what is gathered and what depends on it: close_notify's FIN, a reset. False when broken.
  bool FlushOut();
  bool IsFlushed() const;
  // Both sides have ended, and the client still waits for the transport's end: the kernel answers
  // it for an open socket with all that the socket is known by, and for one that it keeps in
  // TIME_WAIT on its own with less (docs/decisions/0065-zones-of-connection-tracking.md).
  bool AwaitsTransportEnd() const {
    return end_told_ && transport_shut_ && !transport_ended_ && !write_failed_ && !reset_wanted_ &&
           SSL_is_server(ssl_.get()) == 0;
  }
  void OnTransportEnd();
  void OnWriteFailed();
  void Break(absl::Status status);
  void SendCloseNotify();
  IoResult TellEnd();
  // Breaks the stream when the transport breaks behind the peer's close_notify, which SSL_read does
  // not look behind.
  void WatchAfterEnd();
  // Starts the counts of floods anew when their second is over.
  void BeginSecond();
  // Breaks the stream when the peer floods it with what carries no data. `records_before`: records
  // taken before an SSL_read that gave `data` or not.
  bool IsFlooded(uint64_t records_before, bool data);

  // Takes the next key for what is sent once the present one has sealed enough.
  void UpdateKey();

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
           (state_ == State::kOpen && ciphertext_.unsent() <= ciphertext_.low_mark());
  }

  EventLoop* const loop_;  // Not owned.
  const std::unique_ptr<ByteStream> transport_;
  const std::shared_ptr<const TlsContext> context_;
  CiphertextBuffer ciphertext_;
  const uint64_t records_per_key_;
  uint64_t sending_keys_ = 1;
  bssl::UniquePtr<SSL> ssl_;
  std::unique_ptr<EventLoop::Deferred> work_;
  std::unique_ptr<Handshake> handshake_;
  std::shared_ptr<PendingSign> pending_sign_;
  mutable std::unique_ptr<EventLoop::Timer> end_timer_;  // Only while the transport's end is due.
  Observer* observer_ = nullptr;                         // Not owned.
  bool* destroyed_ = nullptr;                            // Set while an upcall runs.

  State state_ = State::kHandshaking;
  absl::Status error_;
  absl::optional<ProvenPeer> peer_;
  TlsSessionInfo session_;

  bool read_wanted_ = false;            // The reader waits to hear.
  bool write_wanted_ = false;           // The writer waits to hear.
  mutable bool flush_awaited_ = false;  // Whoever asked Flushed() waits to hear.
  bool hears_of_loss_ = false;          // The observer, also where it has stopped reading.
  bool tell_readable_ = false;          // To be told in OnWork.
  bool tell_writable_ = false;
  bool read_ended_ = false;    // close_notify was received.
  bool end_told_ = false;      // The reader knows.
  bool write_failed_ = false;  // The transport takes no more; what it still has to give is read.
  bool shutdown_wanted_ = false;
  bool close_notify_sent_ = false;
  bool transport_shut_ = false;
  bool transport_ended_ = false;  // Behind the peer's close_notify, or waited for long enough.
  bool reset_wanted_ = false;
  bool transport_reset_ = false;
  bool graceful_break_ = false;  // After the alert a FIN, so that the peer surely reads it.

  // What the peer made us do for nothing since then.
  absl::Duration flood_window_;
  int key_updates_ = 0;
  int barren_records_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TLS_STREAM_IMPL_H_
