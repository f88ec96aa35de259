#ifndef BYRNIE_COMMON_HTTP2_CONNECT_SESSION_IMPL_H_
#define BYRNIE_COMMON_HTTP2_CONNECT_SESSION_IMPL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/http2/abuse_guard.h"
#include "common/http2/connect_session.h"
#include "common/http2/frame_tally.h"
#include "common/http2/header_block.h"
#include "common/http2/http2_protocol.h"
#include "common/http2/liveness.h"
#include "common/http2/output_buffer.h"
#include "common/http2/tunnel_stream.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// The ConnectSession: nghttp2 between a transport and TunnelStreams. Its jobs are one file each:
// connect_session.cc is its interface and its end, session_events.cc what the peer does,
// session_streams.cc what our streams ask for, session_transport.cc the bytes in and out.
//
// The delegate and the streams' observers are called from Dispatch, a turn's deferred work, and
// observers of bulk when the transport says that it has come, so no upcall ever happens inside a
// call.
class ConnectSessionImpl final : public ConnectSession,
                                 public TunnelStream::Session,
                                 public Http2Events,
                                 public ByteStream::Observer {
 public:
  ConnectSessionImpl(EventLoop* loop, std::unique_ptr<ByteStream> transport, const Options& options,
                     Delegate* delegate, TunnelStream::Role role);
  ~ConnectSessionImpl() override;

  // ConnectSession:
  absl::StatusOr<std::unique_ptr<ConnectStream>> OpenStream(const ConnectRequest& request,
                                                            ResponseCallback on_response) override;
  bool CanOpenStream() const override;
  bool silent() const override { return liveness_.silent(); }
  size_t open_streams() const override { return open_; }
  size_t stream_limit() const override;
  void Drain(After after) override;
  void Close(After after) override;
  bool peer_stays() const override { return peer_stays_; }
  const ByteStream& transport() const override { return *transport_; }
  absl::Duration round_trip() const override { return liveness_.round_trip(); }

 private:
  // Output is pulled from nghttp2 up to this much ahead of the transport, whole TLS records: the
  // most, the same without scratch memory or while the transport takes nothing, and what there is
  // room for however short the budget is.
  static constexpr size_t kOutputTarget = 256 * 1024;
  static constexpr size_t kSmallOutputTarget = 64 * 1024;
  static constexpr size_t kLeastOutputTarget = 16 * 1024;
  static constexpr uint8_t kLivenessPing[8] = {'b', 'y', 'r', 'n', 'i', 'e', 0, 1};
  static constexpr uint8_t kDrainPing[8] = {'b', 'y', 'r', 'n', 'i', 'e', 0, 2};

  enum class State {
    kOpen,
    kClosing,  // GOAWAY and what else is queued goes out.
    // Our direction is shut down; the peer's end is awaited, with a deadline, or of a peer at fault
    // the deadline alone: a reset at once might overtake the GOAWAY.
    kLingering,
    kClosed,  // OnSessionClosed is due or has run.
  };

  // TunnelStream::Session:
  void GiveWindow(int32_t id, size_t bytes) override;
  void SendReady(TunnelStream* stream) override;
  void PullNow(TunnelStream* stream) override;
  size_t RoomOf(int32_t id) const override;
  void SendAccept(int32_t id, const HeaderList& headers) override;
  void SendReject(int32_t id, int status, const HeaderList& headers) override;
  void WantUpcalls(TunnelStream* stream) override;
  uint64_t OutputBefore(uint64_t mark) const override {
    return mark - std::min(mark, output_.taken_mark());
  }
  void WatchOutput() override { output_watched_ = true; }
  bool AsksWhetherPeerLives() const override { return liveness_.enabled(); }
  absl::Duration ShortestRoundTrip() const override { return transport_->ShortestRoundTrip(); }
  BytePieces* BeginLoan(TunnelStream* stream) override;
  void Forget(TunnelStream* stream, bool cancel) override;

  // ByteStream::Observer of the transport:
  void OnReadable() override { ReadTransport(/*may_lend=*/true); }
  void OnWritable() override;

  // Http2Events:
  int OnBeginHeaders() override;
  int OnHeader(absl::string_view name, absl::string_view value) override;
  int OnFrameReceived(const nghttp2_frame* frame) override;
  int OnFrameSent(const nghttp2_frame* frame) override;
  int OnDataChunk(int32_t id, absl::Span<const uint8_t> data) override;
  int OnStreamClose(int32_t id, uint32_t error_code) override;
  ssize_t OnPullData(int32_t id, size_t length, uint32_t* flags) override;
  int OnSendData(const nghttp2_frame* frame, const uint8_t* header, size_t length) override;

  void OnRequest(int32_t id, bool end_stream);
  void OnAnswer(int32_t id, bool end_stream);
  void OnSettingsOrClose(bool could_open);
  void ReturnHeldRequests();
  void SubmitReset(int32_t id, uint32_t error_code);
  // Those that wait for what was accepted before them. The session ends, and that is lost; why it
  // was reset is not to be.
  void SubmitPendingResets();
  // A stream was reset by the protocol itself.
  void NoteRefused(int32_t id, uint32_t error_code);
  void NoteAbuse();
  // After what the peer sent has been looked at: ends a peer whose frames are too many.
  void NoteFrames(FrameTally::Counts counts);
  void EndFlood(absl::string_view of_what);
  // The session ends once the GOAWAY with this error has gone out.
  void EndAtFault(uint32_t error_code, absl::string_view why);

  // With `may_lend` streams may be told of what has come at once, which is no upcall inside a call;
  // false when the session was destroyed by one.
  bool ReadTransport(bool may_lend);
  void Feed(absl::Span<const uint8_t> data);
  // Has what Feed has lent to streams read from where it is; false as ReadTransport.
  bool DispatchLoans();
  // Pulls one frame, or some, into the output: its size, 0 when there is none, or less when the
  // session has failed.
  ssize_t PullFrame();
  // Pulls frames into the output while there is room; true when there may be more.
  bool Pump();
  // Pulls what is queued already, also past the room there is, which is for data. False: the
  // session has failed.
  bool PumpQueued();
  // As Pump, and passes what fills the output on, where the transport takes it.
  void PumpAndPass();
  void Flush();
  void FlushOutput();
  void OutputMoved();
  // What the transport does not take has to be kept.
  bool OutputFull() const {
    const bool small = options_.scratch == nullptr || transport_blocked_;
    return output_.size() >= output_use_.Limit(small ? kSmallOutputTarget : kOutputTarget);
  }

  void Schedule() { dispatch_->Schedule(); }
  // For what only has to be flushed.
  void ScheduleFlush() {
    if (!flush_follows_) Schedule();
  }
  void Dispatch();
  // Runs upcalls; false when the session was destroyed by one.
  bool DispatchUpcalls();
  // Queues a GOAWAY that names `last_stream` as the last that is served.
  void SubmitGoaway(int32_t last_stream);
  // As nghttp2_submit_shutdown_notice, which takes no debug data, with what says that this end
  // stays.
  void SendStayingNotice();
  void OnTimer();
  void ArmPing();
  // The peer is asked for more than a PING's answer.
  void NoteRequest();
  bool Waiting() const;
  void FailWaiting(absl::Duration silent);
  void BeginClose(const absl::Status& status);
  void Fail(const absl::Status& status);
  void BreakStreams(const absl::Status& status);
  void CheckEnd();
  TunnelStream* Find(int32_t id) const;
  bool server() const { return role_ == TunnelStream::Role::kServer; }

  EventLoop* const loop_;     // Not owned.
  Delegate* const delegate_;  // Not owned.
  const Options options_;
  const TunnelStream::Role role_;
  std::unique_ptr<ByteStream> transport_;
  Http2SessionPtr http2_;
  std::unique_ptr<EventLoop::Deferred> dispatch_;
  std::unique_ptr<EventLoop::Timer> timer_;
  absl::flat_hash_map<int32_t, TunnelStream*> streams_;  // All that are not destroyed. Not owned.
  std::vector<TunnelStream*> ready_;                     // With upcalls due.
  std::vector<TunnelStream*> running_;                   // The same, while upcalls run.
  struct Connect {
    std::unique_ptr<TunnelStream> stream;  // Null: refused by a reset.
    ConnectRequest request;
    int refuse_with = 0;  // A status of HTTP.
    absl::Status bad;     // Not OK: no request for a tunnel.
  };
  std::vector<Connect> connects_;  // Not yet shown to the delegate.
  HeaderBlock block_;
  struct Loan {
    TunnelStream* stream;  // Not owned; null once it is destroyed.
    std::unique_ptr<BytePieces> pieces;
  };
  // The first lent_ are of the Feed that has just been, the others are kept for the next.
  std::vector<Loan> loans_;
  size_t lent_ = 0;
  bool lending_ = false;  // What is fed now may be lent.

  OutputBuffer output_;
  BufferUse output_use_;

  State state_ = State::kOpen;
  absl::Status end_status_;
  // The peer is at fault, and a GOAWAY that says so is in the output or goes there next. Nothing
  // more is read.
  absl::optional<absl::Status> pending_end_;
  absl::Status peer_goaway_;
  size_t open_ = 0;
  // Of ReturnHeldRequests, and not in open_ any more: nghttp2 still closes them when their turn to
  // be sent would have come.
  std::vector<int32_t> returned_;
  int32_t peer_reset_id_ = 0;
  Liveness liveness_;
  AbuseGuard abuse_;
  AbuseGuard idle_frames_;
  FrameTally tally_;
  FrameCredit credit_;
  size_t pings_sent_ = 0;  // And not answered.
  // Of the frames since the last NoteFrames that carried data, an end or an answer we asked for.
  size_t useful_frames_ = 0;
  absl::string_view flood_;  // What there was too much of.
  bool draining_ = false;
  bool last_goaway_sent_ = false;
  // What the GOAWAYs of this end say of it.
  After after_ = After::kLeaves;
  bool goaway_received_ = false;
  bool peer_stays_ = false;
  bool goaway_due_ = false;
  bool streams_changed_ = false;
  bool closed_due_ = false;
  bool read_due_ = true;
  bool transport_blocked_ = false;
  bool transport_ended_ = false;
  bool output_watched_ = false;
  bool flush_follows_ = false;  // Upcalls run, and Flush comes right after them.
  bool* destroyed_ = nullptr;   // Set while upcalls run.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_CONNECT_SESSION_IMPL_H_
