#ifndef BYRNIE_PROXY_RESOLVER_H_
#define BYRNIE_PROXY_RESOLVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Finds out on demand what an address is that the routing table does not know, or no longer knows
// rightly: one question to the agent per address, however many connections wait for it. Lives on
// the control loop.
class Resolver {
 public:
  enum class Outcome {
    // The routing table knows the address now; it was published before the callback.
    kFound,
    // The control plane says that the address is not in the mesh.
    kNotInMesh,
    // The agent could not find out: whoever asked fails closed.
    kUnavailable,
    // No answer in time, or no link to the agent: the same.
    kTimedOut,
    // Too many addresses are being asked for.
    kOverloaded,
  };
  using Callback = absl::AnyInvocable<void(Outcome outcome)>;
  // Sends the question to the agent, with `refresh` also past what the agent knows; not OK while it
  // cannot be sent.
  using SendQuestion =
      absl::AnyInvocable<absl::Status(uint64_t id, const IpAddress& address, bool refresh)>;

  struct Options {
    absl::Duration timeout = absl::Seconds(2);
    // How long "not in the mesh" is believed without asking again.
    absl::Duration negative_ttl = absl::Seconds(5);
    // How long an answer to Refresh is believed: an address whose owner never proves what the
    // control plane says costs it no more than one question in this time.
    absl::Duration refresh_ttl = absl::Seconds(1);
    size_t max_pending = 1024;
    size_t max_negative = 4096;
  };

  Resolver(EventLoop* loop, const Options& options, SendQuestion send);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // `done` runs once, in this call only when the answer is already known or cannot be asked for;
  // not after the resolver's end.
  void Resolve(const IpAddress& address, Callback done);
  // The same for an address that the routing table knows, but whose owner proves to be another: the
  // control plane is asked anew, unless it has been a moment ago; kFound then, because the routing
  // table holds the answer.
  void Refresh(const IpAddress& address, Callback done);
  // The agent's answer. An unknown id is ignored: its question was given up.
  void OnAnswer(uint64_t id, Outcome outcome);
  // The link is there again: asks what is still waited for. Negative answers of the time before are
  // forgotten.
  void OnLinkUp();
  // Something in the mesh changed: an address that was not in it may be now.
  void ForgetNegatives();

  size_t pending() const { return pending_.size(); }

 private:
  struct Pending {
    IpAddress address;
    bool refresh = false;
    absl::Duration deadline;
    std::vector<Callback> waiting;
  };

  void Ask(const IpAddress& address, bool refresh, Callback done);
  void Finish(std::map<uint64_t, Pending>::iterator it, Outcome outcome);
  void OnTimer();
  void ArmTimer();

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  SendQuestion send_;
  uint64_t next_id_ = 1;
  // Ascending ids are ascending deadlines.
  std::map<uint64_t, Pending> pending_;
  // By address and whether it is a refresh.
  absl::flat_hash_map<std::pair<IpAddress, bool>, uint64_t> pending_by_address_;
  // Until when each is believed not to be in the mesh.
  absl::flat_hash_map<IpAddress, absl::Duration> negative_;
  // Until when each needs no other refresh.
  absl::flat_hash_map<IpAddress, absl::Duration> refreshed_;
  std::unique_ptr<EventLoop::Timer> timer_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_RESOLVER_H_
