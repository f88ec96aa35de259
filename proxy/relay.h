#ifndef BYRNIE_PROXY_RELAY_H_
#define BYRNIE_PROXY_RELAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/event/event_loop.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// How a relay ended.
struct RelayResult {
  enum class Side : uint8_t {
    kDownstream,
    kUpstream,
    kProxy,  // Abort or a deadline.
  };

  // Bytes the receiving stream has accepted.
  uint64_t bytes_to_upstream = 0;
  uint64_t bytes_to_downstream = 0;
  // OK when both directions ended cleanly; the broken stream's error(), else DeadlineExceeded
  // (half-close, idle) or what Abort was given.
  absl::Status status;
  // The first side to end its direction, or, when `status` is not OK, the one that broke.
  Side ended_by = Side::kProxy;
  // Which deadline ended it; kNone unless `status` is DeadlineExceeded for one of these.
  enum class Deadline : uint8_t { kNone, kIdle, kHalfClose };
  Deadline deadline = Deadline::kNone;
  // For people and the access log: "downstream closed", "upstream reset: …".
  std::string reason;
};

// Carries bytes both ways between two streams until both directions have ended. Downstream is the
// side that opened the connection, upstream the one opened for it.
//
// Backpressure: what was read goes straight from the worker's scratch buffer to the other stream;
// only what that stream did not take is kept, and nothing more is read in that direction until it
// is gone. What a stream shows where it is (ByteStream::Peek) is written from there, and what is
// not taken stays with that stream. More than 64 KiB is read at once only of bulk, and where the
// other stream says that it has room for it; while the budget is short, only little is, so that
// there is little to keep. An idle relay holds no buffer. An end is passed on after the bytes
// before it: a clean end as ShutdownWrite, the other direction going on; a reset or truncation as
// Reset, so never as a clean end, and ahead of data only where the reader has taken nothing of it
// for Options::flush_timeout, or where the peer's proxy says that the connection is not allowed any
// more (PeerForbids). From when a side is known to be broken nothing is read for it.
//
// States: made → running (Start) → ending (both directions over, or aborted: waits for Flushed() of
// both streams, with a deadline) → done (on_done has run). Lives on one loop. Destroying it at any
// time destroys both streams and cancels on_done. When one direction has been over for a second and
// the other is not, both streams' keepalives are shortened.
class Relay {
 public:
  // Shared by all relays of a worker.
  struct Options {
    // From the first end of a direction on: no byte moved for this long, and none waiting for a
    // slow reader, ends the relay with a reset of both sides unless the hosts of both ends give
    // signs of life (proxy/half_close.h). Readers that are gone are the streams' to notice.
    absl::Duration half_close_timeout = absl::Seconds(60);
    // No byte moved for this long ends the relay likewise, whoever is there; infinite is off.
    absl::Duration idle_timeout = absl::InfiniteDuration();
    // An end waits as long as the last bytes move on, however slowly: a slow reader is not to lose
    // them. A reset waits this long when they do not, and from when one side is broken on, a
    // reader of what came from it that takes nothing is waited for as long. A clean end waits
    // half_close_timeout, and for those that the kernel has kTailPatience times as long: it would
    // give them up sooner once nobody has the socket.
    absl::Duration flush_timeout = absl::Seconds(5);
    // Bytes moved per direction and event before others get their turn.
    size_t bytes_per_event = 256 * 1024;
    // Of what is kept. May be null: no limit. Not owned.
    BufferBudget* budget = nullptr;
    // Where relays note that they have moved something; null: nowhere. Not owned.
    std::vector<uint64_t>* moved = nullptr;
  };

  // Runs once, at the end of a turn, never inside a call to the relay; may destroy the relay.
  using DoneCallback = absl::AnyInvocable<void(const RelayResult& result)>;

  // `scratch` (not empty; 256 KiB serves well) is shared by all relays of the loop and holds
  // nothing between events. `scratch` and `*options` outlive the relay.
  Relay(EventLoop* loop, absl::Span<uint8_t> scratch, std::unique_ptr<ByteStream> downstream,
        std::unique_ptr<ByteStream> upstream, const Options* options, DoneCallback on_done);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // The first byte that a stream accepts after this call adds `id`, not 0, to Options::moved: so
  // whoever counts the bytes of thousands of relays need not look at the idle ones.
  void NoteNextMove(uint64_t id);

  // Takes over both streams' observers. Once.
  void Start();

  // Resets both sides, after what they have accepted, and drops what they have not; then on_done
  // with `reason`, which is not OK. False, and nothing, when the relay is ending already. `code` is
  // for the peer (ByteStream::ResetWith); that of a deadline is the relay's own to say.
  bool Abort(absl::Status reason, uint32_t code = 0);
  // The same at once: what the streams have accepted and not delivered is dropped too, also when
  // the relay is ending already. For what is not allowed any more, whose reader may take for ever.
  void Cut(absl::Status reason, uint32_t code = 0);

  // Of a process that ends: a relay whose directions have both ended cleanly, and of which only the
  // kernel still has something, ends soon and leaves that to it. False: there is more to it.
  bool LeaveToKernel();

  // Bytes the receiving stream has accepted up to now.
  uint64_t bytes_to_upstream() const;
  uint64_t bytes_to_downstream() const;
  // The loop's time at which the receiving stream accepted the first byte; infinite: not yet.
  absl::Duration first_byte_to_upstream() const;
  absl::Duration first_byte_to_downstream() const;
  // Bytes kept because they could not be written, both directions.
  size_t buffered_bytes() const;
  // The streams, owned by the relay, for what only their maker knows about them. Not for Read or
  // Write.
  ByteStream* downstream() const;
  ByteStream* upstream() const;

 private:
  // Read at once however short the budget is.
  static constexpr int64_t kLeastRead = 2 * 1024;
  static constexpr int kTailPatience = 10;
  // Read at once while nothing says that there is much, and however little room the other side has
  // for it: it is a write that takes nothing which brings word of more room.
  static constexpr size_t kSmallRead = 64 * 1024;

  // One stream and the direction out of it.
  struct Side final : ByteStream::Observer {
    void OnReadable() override;
    void OnWritable() override;

    Relay* relay = nullptr;
    std::unique_ptr<ByteStream> stream;
    // Read from `stream`, not yet taken by the other one: [pending_begin, pending_end) of
    // `pending`.
    std::unique_ptr<uint8_t[]> pending;
    uint32_t pending_begin = 0;
    uint32_t pending_end = 0;
    // Bytes of this direction the other stream has accepted.
    uint64_t bytes_out = 0;
    // When it accepted the first, in microseconds of the loop's time.
    int64_t first_byte_micros = 0;
    // Read gave kEof.
    bool read_eof = false;
    // `stream` is broken and has given all it had.
    bool read_error = false;
    // The last Read that gave something gave much, so that the next may too.
    bool bulk = false;
    // Read said kWouldBlock and OnReadable has not come since.
    bool read_blocked = false;
    // ByteStream::Lost: as far as writing goes, the same as write_error.
    bool lost = false;
    // Write said kError: nothing more gets into `stream`.
    bool write_error = false;
    // Write said kWouldBlock and OnWritable has not come since.
    bool write_blocked = false;
    // The end of the direction out of `stream` has been passed to the other one.
    bool finished = false;
  };
  enum class State : uint8_t { kMade, kRunning, kEnding, kDone };
  // What the timer is set for; kNow: to finish, whatever is left.
  enum class Limit : uint8_t { kIdle, kHalfClose, kBroken, kFlush, kTail, kNow };

  Side& Other(const Side& side) { return &side == &downstream_ ? upstream_ : downstream_; }
  RelayResult::Side NameOf(const Side& side) const;
  // Moves bytes of both directions and ends what is to end.
  void Run();
  // Moves bytes out of `from`. True when it stopped for others' sake and wants another turn.
  bool Pump(Side& from);
  // Writes what is pending out of `from`; true when nothing is left.
  bool FlushPending(Side& from);
  // Writes to the other side of `from`; returns what was not taken.
  absl::Span<const uint8_t> WriteOut(Side& from, absl::Span<const uint8_t> data);
  // Passes on what `from` shows where it is; how many bytes were taken.
  size_t PassOn(Side& from);
  // Counts what the other side of `from` has taken, and marks it where it takes no more: false.
  bool NoteWritten(Side& from, IoResult written);
  void KeepPending(Side& from, absl::Span<const uint8_t> rest);
  void DropPending(Side& from);
  // What is pending out of `from` takes `size` bytes from now on.
  void CountPending(const Side& from, size_t size);
  // How much to read at once out of `from`: what the other side does not take has to be kept.
  size_t ReadSize(const Side& from);
  void NoteFirstEnd(const Side& side);
  // `side` is broken; what came before that may still have to be passed on.
  void NoteBroken(Side& side);
  // What is still to be passed on is not to be: ends the relay, and is true.
  bool EndForbidden();
  void OnBrokenTimer();
  // `side` is broken and its bytes have been passed on, or are not to be.
  void FailFrom(Side& side);
  // The end of the direction out of `from` is reached.
  void FinishDirection(Side& from);
  void BeginEnding(absl::Status status, RelayResult::Side ended_by, uint32_t code = 0);
  void ResetBoth(uint32_t code);
  // Of a relay that is aborted before it began.
  void ObserveStreams();
  void MaybeFinish();
  void Finish();
  void ScheduleRun();
  void ArmTimer(Limit limit, absl::Duration delay);
  void OnTimer();
  // For how long the last bytes of an end may stand still.
  absl::Duration EndPatience() const;
  void OnFlushTimer();
  // Whether a host at one end has not taken the last bytes yet; then looks again soon.
  bool HasTail();
  void OnTailTimer();
  void GiveUpFlushing(absl::Duration quiet);
  uint64_t Undelivered() const;
  // When to look again at a relay of which one direction is over; none: it has to end.
  absl::optional<absl::Duration> LookAtHalfClosed(absl::Duration quiet);
  void EndByDeadline(RelayResult::Deadline deadline, std::string why);

  EventLoop* const loop_;         // Not owned.
  const Options* const options_;  // Not owned.
  const absl::Span<uint8_t> scratch_;
  Side downstream_;
  Side upstream_;
  DoneCallback on_done_;
  std::unique_ptr<EventLoop::Deferred> deferred_;
  std::unique_ptr<EventLoop::Timer> timer_;
  absl::Duration last_activity_;
  // Of NoteNextMove; 0: noted.
  uint64_t next_move_ = 0;
  // What was undelivered when a clean end was last looked at; 0: not yet.
  uint64_t undelivered_ = 0;
  absl::Duration next_tail_look_;
  absl::Status status_;
  State state_ = State::kMade;
  Limit limit_ = Limit::kIdle;
  RelayResult::Side ended_by_ = RelayResult::Side::kProxy;
  RelayResult::Deadline deadline_ = RelayResult::Deadline::kNone;
  bool first_end_ = false;
  bool broken_ = false;
  bool keepalive_shortened_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_RELAY_H_
