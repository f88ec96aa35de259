#ifndef BYRNIE_PROXY_OVERLOAD_H_
#define BYRNIE_PROXY_OVERLOAD_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Decides whether the proxy can take one more connection, so that those it has keep what they need.
// It never touches an open one. One for all workers; thread-safe, no locks.
class Overload {
 public:
  struct Limits {
    // Connections open at the same time, both directions; 0: no limit.
    uint64_t connections = 0;
    // Sockets with a number from here on are refused: the rest is for the admin page, the link and
    // the listeners.
    int sockets = 1 << 30;
    // Those with a number below are there for who has connections open and has to be proven anew;
    // see Who::kProof.
    int sockets_for_proofs = 1 << 30;
    // Bytes to begin with, see ContainerMemory; 0: no limit.
    uint64_t memory = 0;
  };
  // Whom something is for. Who has proven nothing can come from everywhere and stay for ever: the
  // last of each limit is not theirs.
  enum class Who {
    kKnown,    // The pod's own application, a peer of the mesh, the kubelet.
    kUnknown,  // Plaintext, or not known yet.
    // A handshake by which connections live on that are open: a limit that is reached is none for
    // it, up to half of the sockets that are left then. Few and short: who asks sees to that.
    kProof,
  };

  // Why not.
  struct Shed {
    absl::string_view reason;  // Of access_reason.
    absl::string_view detail;
  };

  // Of connections, of sockets and of memory one part in so many is left for those that are known.
  static constexpr int kReserved = 8;
  // No peer's connections, nor those that the pod's own application makes, may come to more memory
  // than so many times what is left: alone it has eight ninths of it, and whoever comes then finds
  // something, and so does the next.
  static constexpr uint64_t kTimesLeft = 8;
  // Above this share of the memory limit, used and promised, new connections are shed, until it is
  // below the other.
  static constexpr double kShedAbove = 0.85;
  static constexpr double kTakeBelow = 0.75;
  // What a new connection is taken to cost until memory has been measured again, so that a storm
  // between two measurements cannot take more than there is.
  static constexpr uint64_t kNewConnection = 32 * 1024;

  // `inbound` and `outbound` are the connections open, the one that asks included; `shedding` shows
  // whether memory is short. All outlive this.
  Overload(const Limits& limits, const Gauge* inbound, const Gauge* outbound, Gauge* shedding);
  Overload(const Overload&) = delete;
  Overload& operator=(const Overload&) = delete;

  // Asked about each socket this proxy has dialled, before anything is done with it:
  // ResourceExhausted, with the reason, where it is one too many.
  absl::Status CheckDialled(int fd, Who who = Who::kKnown) const;
  // Asked once for each new connection, whose socket is `fd` (-1: a stream without one). `of_peer`:
  // how many the same identity has by now, this one included; 0 of who has none.
  absl::optional<Shed> WhyNotConnection(int fd, Who who = Who::kKnown, size_t of_peer = 0);
  // The same for one that the pod's own application has made, of which there are `outbound` by now.
  absl::optional<Shed> WhyNotOutbound(int fd);
  // The same for one that has not said who it is and is counted elsewhere: it costs a socket.
  absl::optional<Shed> WhyNotStranger(int fd) const;
  // The same for a new tunnel, which is not a connection of an application yet.
  absl::optional<Shed> WhyNotTunnel(int fd);
  // Whether there is a socket left for a handshake that is for Who::kProof. Memory does not count:
  // it costs little, and saves what has been paid for.
  bool TakesProof(int fd) const { return fd < SocketsFor(Who::kProof); }

  int sockets() const { return limits_.sockets; }

  // The limit on memory is another one from now on; not 0, and only where there was one.
  void SetMemoryLimit(uint64_t bytes);
  // Tells what is used of the memory that there is, and what open connections may use beyond that
  // without asking; true when that made shedding begin.
  bool SetMemoryUsed(uint64_t bytes, uint64_t promised);
  // New connections are refused for want of memory.
  bool short_of_memory() const { return short_of_memory_.load(std::memory_order_relaxed); }

 private:
  int SocketsFor(Who who) const;
  absl::optional<Shed> WhyNot(int fd, Who who, size_t of_peer = 0);

  const Limits limits_;
  std::atomic<uint64_t> shed_above_{0};
  std::atomic<uint64_t> take_below_{0};
  const Gauge* const inbound_;   // Not owned.
  const Gauge* const outbound_;  // Not owned.
  Gauge* const shedding_;        // Not owned.
  // Promised included.
  std::atomic<uint64_t> used_{0};
  // Taken since used_ was measured.
  std::atomic<uint64_t> taken_{0};
  std::atomic<bool> short_of_memory_{false};
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_OVERLOAD_H_
