#ifndef BYRNIE_COMMON_NET_BYTE_STREAM_H_
#define BYRNIE_COMMON_NET_BYTE_STREAM_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace byrnie {

enum class IoStatus {
  kOk,          // `bytes` were moved; more may be possible now.
  kWouldBlock,  // `bytes` were moved (often 0); the observer is told when more is possible.
  kEof,         // Read only: the peer ended its direction cleanly. Sticky.
  kError,       // The stream is broken in both directions; see ByteStream::error(). Sticky.
};

// What one non-blocking transfer did. `bytes` counts for every status except kEof and kError.
struct IoResult {
  size_t bytes = 0;
  IoStatus status = IoStatus::kOk;
};

// A reliable, ordered, non-blocking byte stream whose two directions close one by one: a TCP
// connection, TLS over one, or an HTTP/2 CONNECT stream. Lives on one loop.
//
// Readiness is edge-triggered: after Read or Write returned kWouldBlock the observer hears once
// when it is worth trying again. A reader that stops reading hears nothing more and must try by
// itself when it wants to go on; whoever stops before kWouldBlock (to bound its work per event)
// must come back by itself. Observer calls never happen inside a call to the stream.
//
// Life: open, then each direction ends on its own (Read gives kEof; ShutdownWrite), or all ends at
// once (Reset, or kError). Destroying a stream at any time is safe and cancels its upcalls: what is
// not Flushed() then may be lost, and the peer sees a reset if it had not been shut down cleanly.
class ByteStream {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // Read is worth trying: data, end or error.
    virtual void OnReadable() = 0;
    // Write is worth trying again, or Flushed() has become true.
    virtual void OnWritable() = 0;
  };

  virtual ~ByteStream() = default;

  // Sets who hears of readiness; null silences. A new observer of a stream with something to report
  // hears of it at the end of the turn. The observer outlives the stream or is replaced before it
  // dies.
  virtual void SetObserver(Observer* observer) = 0;

  // Reads at most buffer.size() bytes. All bytes the peer sent before it reset the connection are
  // delivered before kError, as far as the transport still has them.
  virtual IoResult Read(absl::Span<uint8_t> buffer) = 0;

  // Takes as many bytes as fit; the rest stays the caller's. kError after ShutdownWrite or Reset.
  virtual IoResult Write(absl::Span<const uint8_t> data) = 0;

  // What Read would give, as far as it can be looked at where it is: pieces, in order, that stay
  // until the next Read, Skip or Reset or the end of the upcall. Empty where there is nothing to
  // read or the stream shows nothing; only Read tells.
  virtual absl::Span<const absl::Span<const uint8_t>> Peek() const { return {}; }
  // The first `bytes` of what Peek shows have been read.
  virtual void Skip(size_t bytes) { static_cast<void>(bytes); }
  // Write of all these, one after the other; of a socket, in one system call.
  virtual IoResult WritePieces(absl::Span<const absl::Span<const uint8_t>> pieces) {
    IoResult result;
    for (const absl::Span<const uint8_t> piece : pieces) {
      const IoResult written = Write(piece);
      if (written.status == IoStatus::kError) return written;
      result.bytes += written.bytes;
      result.status = written.status;
      if (written.bytes < piece.size() || written.status != IoStatus::kOk) break;
    }
    return result;
  }

  // How many bytes Write is likely to take now, for whoever would have to keep the rest; 64 KiB
  // where that is not known. May be a system call.
  virtual size_t Room() const { return 64 * 1024; }

  // Ends the outgoing direction after everything accepted by Write (FIN, close_notify, END_STREAM).
  // Idempotent; nothing after Reset.
  virtual void ShutdownWrite() = 0;

  // Breaks both directions so that the peer sees a reset, never a clean end. What Write had
  // accepted is still delivered first where the peer reads: wait for Flushed(), with a deadline.
  // Idempotent.
  virtual void Reset() = 0;
  // The same, and tells the peer `code` where the stream's protocol has a number for why: the error
  // code of HTTP/2's RST_STREAM. 0 is none. Called after Reset, it counts if nothing has been said
  // yet.
  virtual void ResetWith(uint32_t code) {
    static_cast<void>(code);
    Reset();
  }

  // True when nothing accepted by Write, no shutdown and no reset is waiting in this process any
  // more. After Reset also the kernel's queue has been delivered. A broken stream counts as
  // flushed.
  virtual bool Flushed() const = 0;

  // Not 0 while bytes accepted by Write, or the end after them, are known not to have reached the
  // peer's host yet: the peer is slow to read. While nothing is written the number changes only
  // when they move on, which tells a slow reader from one that has stopped; a peer that is gone
  // makes the stream kError by itself.
  virtual uint64_t Undelivered() const { return Flushed() ? 0 : 1; }

  // How long ago the peer's host gave its last sign of life, whatever the peer itself does;
  // infinite when nobody asks it for one. Zero where it is asked, and a host that does not answer
  // makes the stream kError within half a minute.
  virtual absl::Duration Unheard() const { return absl::InfiniteDuration(); }

  // The shortest time that bytes have lately taken to the peer's host and an acknowledgement back;
  // zero where that is not known.
  virtual absl::Duration ShortestRoundTrip() const { return absl::ZeroDuration(); }

  // Has the peer's host asked for a sign of life every few seconds from now on, where that is the
  // stream's to decide: one that is gone, or that something on the way has forgotten, is noticed
  // long before the usual time.
  virtual void ShortenKeepalive() {}

  // Whether the stream is known to be broken, also while what came before that can still be read,
  // which error() may not tell yet: nothing more reaches the peer.
  virtual bool Lost() const { return !error().ok(); }
  // From now on the observer hears of that by OnReadable, also where it has stopped reading; or it
  // does not any more. Nothing where it always does.
  virtual void HearOfLoss(bool hears) { static_cast<void>(hears); }

  // Why the stream is broken: OK while it is not; Unavailable when the peer reset or vanished;
  // Unauthenticated when the TLS peer was refused; DataLoss for a truncated TLS stream.
  virtual absl::Status error() const = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_BYTE_STREAM_H_
