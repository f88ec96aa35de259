#ifndef BYRNIE_PROXY_PEER_USAGE_H_
#define BYRNIE_PROXY_PEER_USAGE_H_

#include <cstddef>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// How many inbound tunnels all workers have together, how many of them each peer identity has, and
// how many connections, through them and by direct mTLS: these limits are of the process, whichever
// worker a tunnel came to. A peer is known only while it has something, so that this is never
// larger than what is open. Thread-safe; its lock is taken when a tunnel or a connection begins and
// when it ends, never for a byte.
class PeerUsage {
 private:
  struct Use {
    size_t tunnels = 0;
    size_t connections = 0;
  };
  // References to its entries stay what they are.
  using Peers = absl::node_hash_map<std::string, Use>;

 public:
  // A tunnel or a connection, counted as long as this is. Empty: of nothing. May be destroyed on
  // any thread, before the PeerUsage.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept { *this = std::move(other); }
    Share& operator=(Share&& other) noexcept {
      Release();
      usage_ = std::exchange(other.usage_, nullptr);
      peer_ = other.peer_;
      count_ = other.count_;
      return *this;
    }
    ~Share() { Release(); }

    explicit operator bool() const { return usage_ != nullptr; }
    // How many connections the peer has by now, this one included; 0 of nothing.
    size_t connections() const;
    void Release();

   private:
    friend class PeerUsage;
    Share(PeerUsage* usage, Peers::value_type* peer, size_t Use::*count)
        : usage_(usage), peer_(peer), count_(count) {}

    PeerUsage* usage_ = nullptr;         // Not owned.
    Peers::value_type* peer_ = nullptr;  // Not owned; lives as long as it counts something.
    size_t Use::*count_ = nullptr;
  };
  struct Tunnel {
    Share share;
    // With this one.
    size_t of_peer = 0;
    size_t of_all = 0;
  };

  PeerUsage() = default;
  PeerUsage(const PeerUsage&) = delete;
  PeerUsage& operator=(const PeerUsage&) = delete;

  // Counts a tunnel, whatever there is: it is for the caller to make room or to drop it.
  Tunnel AddTunnel(absl::string_view peer);
  // Counts a connection; empty where the peer has `limit` already.
  Share AddConnection(absl::string_view peer, size_t limit);

  // Peers that have something.
  size_t peers() const;

 private:
  // Not absl::Mutex: ThreadSanitizer does not see through that of a library built without it.
  mutable std::mutex mutex_;
  Peers peers_;  // Guarded by mutex_, as the next.
  size_t tunnels_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PEER_USAGE_H_
