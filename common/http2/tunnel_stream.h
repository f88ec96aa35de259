#ifndef BYRNIE_COMMON_HTTP2_TUNNEL_STREAM_H_
#define BYRNIE_COMMON_HTTP2_TUNNEL_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/event/event_loop.h"
#include "common/http2/chunk_queue.h"
#include "common/http2/connect_session.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_pieces.h"

namespace byrnie {

// The ConnectStream of ConnectSession: its buffers, its states and its upcalls; the protocol is the
// session's. The session knows it by its stream id until one of the two is destroyed.
class TunnelStream final : public ConnectStream {
 public:
  // What a stream asks of its session. Nothing here calls the stream's observer.
  class Session {
   public:
    virtual ~Session() = default;
    // The peer may send `bytes` more.
    virtual void GiveWindow(int32_t id, size_t bytes) = 0;
    // The stream has something to send: bytes, an end, or a reset after what is queued.
    virtual void SendReady(TunnelStream* stream) = 0;
    // Takes what the stream has to send into the session's output as far as there is room.
    virtual void PullNow(TunnelStream* stream) = 0;
    // How much of the stream is likely to leave now.
    virtual size_t RoomOf(int32_t id) const = 0;
    virtual void SendAccept(int32_t id, const HeaderList& headers) = 0;
    virtual void SendReject(int32_t id, int status, const HeaderList& headers) = 0;
    // Wants DispatchUpcalls later in this turn or in the next.
    virtual void WantUpcalls(TunnelStream* stream) = 0;
    // Bytes of the output up to `mark` that have not been handed to the transport.
    virtual uint64_t OutputBefore(uint64_t mark) const = 0;
    // Asks for OnOutputTaken when the output has moved on.
    virtual void WatchOutput() = 0;
    // A peer that is gone breaks the session within half a minute.
    virtual bool AsksWhetherPeerLives() const = 0;
    // ByteStream::ShortestRoundTrip of the transport.
    virtual absl::Duration ShortestRoundTrip() const = 0;
    // Where the stream notes what it is lent until the session calls EndLoan().
    virtual BytePieces* BeginLoan(TunnelStream* stream) = 0;
    // The stream is being destroyed. `cancel`: the peer is to hear of it.
    virtual void Forget(TunnelStream* stream, bool cancel) = 0;
  };

  enum class Role : uint8_t { kClient, kServer };
  // Unsent bytes: the most, and what there is room for however short the budget is.
  static constexpr size_t kSendLimit = 64 * 1024;
  static constexpr size_t kLeastSendLimit = 4 * 1024;
  // The window of a stream that has just begun, where the budget has plenty.
  static constexpr uint32_t kFirstWindow = 16 * 1024;
  // How much larger it gets each time.
  static constexpr uint32_t kWindowGrowth = 4;

  // The most that a long path makes of it, beyond ConnectSession::Options::stream_window.
  static constexpr int64_t kLongestWindow = 16 * 1024 * 1024;

  // Of `options` what is said of windows and the budget.
  TunnelStream(EventLoop* loop, Session* session, int32_t id, Role role,
               const ConnectSession::Options& options);
  ~TunnelStream() override;

  // ConnectStream:
  int32_t id() const override { return id_; }
  void SetObserver(Observer* observer) override;
  IoResult Read(absl::Span<uint8_t> buffer) override;
  absl::Span<const absl::Span<const uint8_t>> Peek() const override;
  void Skip(size_t bytes) override;
  IoResult Write(absl::Span<const uint8_t> data) override;
  // What the peer's window and the session's transport have room for.
  size_t Room() const override;
  void ShutdownWrite() override;
  void Reset() override { ResetWith(0); }
  void ResetWith(uint32_t code) override;
  bool Flushed() const override;
  uint64_t Undelivered() const override;
  // Zero as long as the session lives, whose PINGs ask.
  absl::Duration Unheard() const override;
  absl::Status error() const override;
  void Accept(const HeaderList& headers) override;
  void Reject(int status, const HeaderList& headers) override;

  // The session's side from here on.

  void set_on_response(ConnectSession::ResponseCallback on_response);
  // Client: the answer has come.
  void OnResponse(int http_status, HeaderList headers);
  bool answered() const { return opened_ || refused_; }
  // Bytes from the peer. With `lent` their memory stays until EndLoan(), so that whoever waits for
  // them may get them from where they are.
  void OnData(absl::Span<const uint8_t> data, bool lent);
  // Tells who waits that something was lent. May destroy the stream or the session.
  void DispatchLoan();
  // What has not been read by now is kept.
  void EndLoan();
  void OnEndStream();
  // The peer takes more.
  void OnWindow() {
    if (write_waiting_) NotifyWritable();
  }
  // The protocol is through with the stream; `status` is not OK when it did not end cleanly.
  void OnClosed(const absl::Status& status);
  // The same, when the peer had ended its direction and has only said that it wants no more of ours
  // (RFC 9113 section 8.1): the reader still gets everything and the end, the writer an error.
  void OnStopped(const absl::Status& status);
  bool end_received() const { return end_received_; }
  bool closed() const { return closed_; }
  // The session is going; the stream lives on alone, broken unless it had ended.
  void OnSessionGone(const absl::Status& status);
  void OnOutputTaken();

  // Sending: bytes that may go now, and what follows them.
  size_t sendable() const;
  bool ends_after(size_t bytes) const;
  // True when a reset is due: everything accepted before it has been taken, and the peer has been
  // told that there was a connection.
  bool reset_due() const;
  // A reset was asked for, and the peer has not been told.
  bool reset_pending() const { return reset_ && !reset_submitted_ && !closed_; }
  // Of ResetWith.
  uint32_t reset_code() const { return reset_code_; }
  void TakeSendable(absl::Span<uint8_t> out);
  // The output, counted to `mark`, now holds this much of the stream (data, its end or its reset).
  void OnSent(uint64_t mark) { sent_mark_ = mark; }
  void OnEndSent(uint64_t mark);
  void OnResetSubmitted() { reset_submitted_ = true; }
  bool reset_submitted() const { return reset_submitted_; }
  // Client: the request has left nghttp2, which holds those past the peer's limit back.
  void OnRequestSent();
  bool request_sent() const { return request_sent_; }
  // Server: the answer has left nghttp2, which drops it when a reset overtakes it.
  void OnAnswerSent() { answer_sent_ = true; }
  void OnResetSent(uint64_t mark);

  // Runs what is due. The stream, its session and everything else may be gone after it.
  void DispatchUpcalls();
  bool queued = false;  // In the session's list of streams with upcalls.

 private:
  struct Response;

  void NotifyReadable();
  void NotifyWritable();
  // The window has been used up, and the reader keeps up.
  void GrowWindow();
  // What the window may come to by now.
  uint32_t MostWindow() const {
    return static_cast<uint32_t>(received_use_.LimitOfFew(most_window_, wide_window_));
  }
  // The protocol knows the stream: its window may be opened wider.
  void OpenWindow();
  // Gives the peer what it may send more of by now.
  void GiveWindow();
  // Nothing more is to come from the peer.
  void CloseWindow();
  void CountReceived();
  // Bytes that have come and have not been read.
  size_t unread() const { return received_.size() + (loan_ == nullptr ? 0 : loan_->size()); }
  // Nobody reads them any more.
  void DropUnread();
  // So many of them have been.
  void NoteRead(size_t bytes);
  void CountUnsent() { unsent_use_.Set(unsent_.allocated(), unsent_.allocated()); }
  void DropUnsent();
  void Break(const absl::Status& status);
  void Want();

  EventLoop* const loop_;  // Not owned.
  Session* session_;       // Not owned; null once it is gone.
  Observer* observer_ = nullptr;
  ConnectSession::ResponseCallback on_response_;
  std::unique_ptr<Response> response_;
  std::unique_ptr<EventLoop::Deferred> own_upcalls_;  // Only once the session is gone.
  bool* destroyed_ = nullptr;                         // Set while upcalls run.
  ChunkQueue received_;
  BytePieces* loan_ = nullptr;  // Not owned; follows received_, only inside a call of the session.
  ChunkQueue unsent_;
  BufferUse received_use_;
  BufferUse unsent_use_;
  absl::Span<const uint8_t> borrowed_;  // Follows unsent_, only inside Write.
  absl::Status error_;
  uint64_t sent_mark_ = 0;
  const int32_t id_;
  const Role role_;
  uint32_t reset_code_ = 0;
  const uint32_t wide_window_;
  uint32_t most_window_;
  uint32_t wanted_window_;
  bool path_looked_at_ = false;  // And most_window_ is what the path needs.
  // What the peer may send by now; negative when it has sent more before it knew our settings.
  int32_t credit_;
  uint64_t read_since_growth_ = 0;
  bool window_used_up_ = false;  // Or half of it at once, since it was last made larger.
  bool opened_ = false;
  bool refused_ = false;  // Rejected by us or by the peer.
  bool end_received_ = false;
  bool end_stands_ = false;  // Whatever error_ says, the peer's direction is whole.
  bool shutdown_ = false;
  bool end_sent_ = false;
  bool reset_ = false;
  bool reset_submitted_ = false;
  bool request_sent_ = false;
  bool answer_sent_ = false;
  bool reset_sent_ = false;
  bool closed_ = false;
  bool read_waiting_ = true;
  bool write_waiting_ = true;
  bool readable_due_ = false;
  bool writable_due_ = false;
  mutable bool flush_waiting_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_TUNNEL_STREAM_H_
