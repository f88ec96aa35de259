#ifndef BYRNIE_COMMON_NET_TCP_STREAM_H_
#define BYRNIE_COMMON_NET_TCP_STREAM_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"

namespace byrnie {

// A TCP connection (RFC 9293) as a ByteStream. Every one has TCP_NODELAY, keepalive and
// stall detection, so that a dead peer is noticed within 40 s and a slow one is waited for. Also
// used for Unix stream sockets, where those do not apply, and where a reset is an ordinary close:
// the kernel has no other.
//
// Read gives kError after kEof when the connection breaks later; the observer hears of it by
// OnReadable. Reset() waits, for at most 5 s, until the peer's kernel has acknowledged everything
// written; destroying the stream resets at once unless ShutdownWrite() was called. A stream may be
// destroyed in its own upcall.
class TcpStream final : public ByteStream {
 public:
  struct ConnectOptions {
    // Ends the attempt with DeadlineExceeded.
    absl::Duration timeout = absl::Seconds(10);
    // SO_MARK of the socket, 0 for none. Needs CAP_NET_ADMIN.
    uint32_t mark = 0;
    // Where to connect from, of the family of the remote one; none: the kernel's choice.
    // ResourceExhausted when the port is taken, or connected to the remote address until lately.
    absl::optional<SocketAddress> source;
    // `source` may be anybody's address. Needs CAP_NET_ADMIN (PermissionDenied), and routing that
    // brings the answers back.
    bool transparent = false;
    // Where the kernel is to look for a source port, unless `source` says it, before it looks at
    // all. It goes from one port to the next, the even ones first, so that a connect takes
    // milliseconds when thousands of connections to `remote` hold those: a few ports of their midst
    // spare it that.
    absl::optional<PortRange> source_ports;
    // SO_PRIORITY of the socket, 0 to 6.
    int priority = 0;
  };

  // An attempt to connect; destroying it abandons the attempt and the callback does not run.
  class Attempt {
   public:
    virtual ~Attempt() = default;
  };
  using ConnectCallback = absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<TcpStream>>)>;

  enum class Family : uint8_t { kTcp, kUnix };

  // Wraps a connected, non-blocking socket and sets its options. ResourceExhausted when the loop
  // cannot watch it.
  static absl::StatusOr<std::unique_ptr<TcpStream>> Create(EventLoop* loop, UniqueFd fd);

  // As Create, for a socket that has the options already: accepted ones inherit them from the
  // listening socket, which saves seven system calls per connection. `source` is what accept(2)
  // said of one; null: nothing.
  static absl::StatusOr<std::unique_ptr<TcpStream>> CreateConfigured(
      EventLoop* loop, UniqueFd fd, Family family,
      std::unique_ptr<const SocketAddress> source = nullptr);

  // Connects to `remote`. `done` runs once in a later turn: Unavailable (refused, unreachable;
  // names the address), DeadlineExceeded, ResourceExhausted (out of descriptors). A connection
  // that was made and reset before that turn is a stream like any other: what its peer sent can be
  // read, then it is broken. The callback may destroy the attempt.
  static std::unique_ptr<Attempt> Connect(EventLoop* loop, const SocketAddress& remote,
                                          const ConnectOptions& options, ConnectCallback done);

  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;
  ~TcpStream() override;

  void SetObserver(Observer* observer) override;
  IoResult Read(absl::Span<uint8_t> buffer) override;
  IoResult Write(absl::Span<const uint8_t> data) override;
  IoResult WritePieces(absl::Span<const absl::Span<const uint8_t>> pieces) override;
  // What the kernel's send buffer has room for.
  size_t Room() const override;
  void ShutdownWrite() override;
  void Reset() override;
  bool Flushed() const override;
  uint64_t Undelivered() const override;
  // What the kernel knows, from acknowledgements and keepalive answers too; infinite for a Unix
  // socket.
  absl::Duration Unheard() const override;
  absl::Duration ShortestRoundTrip() const override;
  void ShortenKeepalive() override;
  bool Lost() const override;
  void HearOfLoss(bool hears) override;
  absl::Status error() const override;

  // From now on the kernel resets the connection when this process dies, unless both directions
  // have ended by then: to the peer a close would look like the end of what was being sent.
  void ResetIfAbandoned();

  // The socket, still owned by the stream: for SO_ORIGINAL_DST and SO_PEERCRED.
  int fd() const;
  absl::StatusOr<SocketAddress> LocalAddress() const;
  // Of an accepted stream also after its peer has reset it, when the kernel no longer says.
  absl::StatusOr<SocketAddress> RemoteAddress() const;

 private:
  class AttemptImpl;
  struct ResetProgress;
  struct StallWatch;

  TcpStream(EventLoop* loop, UniqueFd fd, Family family);
  void OnFdEvents(EventLoop::FdEvents events);
  void Dispatch();
  IoResult Fail(int error);
  // What a read says that has taken `bytes`, the last there were.
  IoResult ReadLater(size_t bytes);
  // Whether a system call that sends went well, as its result and errno say; and then that stalls
  // are watched for. Otherwise `stopped` is what is to be told, but for EINTR.
  bool Sent(ssize_t result, size_t written, absl::optional<IoResult>* stopped);
  // Both directions have ended: whatever happens to this process, the kernel sends what it has.
  void LeaveTheRestToTheKernel();
  // Data has been given to the kernel: sees to it that a peer that is gone is noticed.
  void WatchForStall();
  void CheckForStall();
  void PollReset();
  void FinishReset();

  // Small on purpose: most connections are idle most of the time, and an idle one has no buffer.
  EventLoop* const loop_;         // Not owned.
  Observer* observer_ = nullptr;  // Not owned.
  std::unique_ptr<EventLoop::FdWatch> watch_;
  std::unique_ptr<EventLoop::Deferred> notify_;    // Only while an upcall is due.
  std::unique_ptr<ResetProgress> reset_progress_;  // Only while a reset waits.
  std::unique_ptr<StallWatch> stall_watch_;        // Only while data is under way.
  std::unique_ptr<const SocketAddress> source_;    // Of an accepted one.
  bool* destroyed_ = nullptr;                      // Set while upcalls run.
  UniqueFd fd_;                                    // None once reset.
  int16_t error_ = 0;                              // An errno once broken.
  bool readable_ : 1;                              // An edge came after all there was was read.
  bool writable_ : 1;                              // An edge came after the last EAGAIN.
  bool read_waiting_ : 1;                          // The observer wants to hear of the next edge.
  bool write_waiting_ : 1;                         // Likewise.
  bool eof_ : 1;
  bool write_shut_ : 1;
  bool reset_ : 1;
  bool lost_ : 1;                 // An edge has told of an error.
  bool hears_of_loss_ : 1;        // The observer wants to hear of it though it does not read.
  bool resets_if_abandoned_ : 1;  // The socket has been told so.
  // A read that is not filled has taken everything, until an edge tells of more than data.
  bool short_reads_drain_ : 1;
  // After the socket, for it ends first.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TCP_STREAM_H_
