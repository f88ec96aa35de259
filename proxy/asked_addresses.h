#ifndef BYRNIE_PROXY_ASKED_ADDRESSES_H_
#define BYRNIE_PROXY_ASKED_ADDRESSES_H_

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Which addresses have been asked about a moment ago, whatever came of it, so that strangers cannot
// make this proxy ask without end. Lives on one loop.
class AskedAddresses {
 public:
  struct Options {
    absl::Duration ttl = absl::Seconds(1);
    // In that time, of all addresses: some room is left at the resolver for others.
    size_t max = 256;
  };

  AskedAddresses(EventLoop* loop, const Options& options) : loop_(loop), options_(options) {}
  AskedAddresses(const AskedAddresses&) = delete;
  AskedAddresses& operator=(const AskedAddresses&) = delete;

  // Whether to ask about `address` now; it has been asked about, then.
  bool MayAsk(const IpAddress& address);

 private:
  EventLoop* const loop_;  // Not owned.
  const Options options_;
  absl::flat_hash_set<IpAddress> asked_;
  // The same, the oldest first, and when each was.
  std::deque<std::pair<absl::Duration, IpAddress>> order_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ASKED_ADDRESSES_H_
