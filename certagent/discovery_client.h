#ifndef BYRNIE_CERTAGENT_DISCOVERY_CLIENT_H_
#define BYRNIE_CERTAGENT_DISCOVERY_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/bidi_stream.h"
#include "certagent/discovery_cache.h"
#include "certagent/mesh_resources.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/repeat_filter.h"

namespace byrnie {

using DiscoveryStream = BidiStream<DiscoveryCache::Request, DiscoveryCache::Response>;

// Learns from the control plane, over delta ADS, which addresses are in the mesh, when somebody
// asks, and all policies; follows their changes. Lives on the agent's loop. A stream that breaks is
// opened again, with back-off; what was learnt stays and is answered from meanwhile.
class DiscoveryClient {
 public:
  // Opens a stream to the control plane with the agent's present identity. FailedPrecondition: none
  // yet.
  using StreamFactory = absl::AnyInvocable<absl::StatusOr<std::unique_ptr<DiscoveryStream>>(
      DiscoveryStream::Callbacks)>;
  using ResolveCallback = absl::AnyInvocable<void(ResolveResult)>;

  // Hears of changes, before the questions they answer are answered.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void OnAddresses(const std::vector<AddressPtr>& upserts,
                             const std::vector<std::string>& removals) = 0;
    virtual void OnPolicies(const PolicySet& policies) = 0;
    // A stream has brought its first response.
    virtual void OnConnected() {}
  };

  struct Options {
    std::string node_id;
    // That the addresses are of; empty: the only one.
    std::string network;
    std::vector<IpAddress> own_addresses;
    // How long a question waits for the control plane: less than the proxy waits for the agent, so
    // that it hears why.
    absl::Duration resolve_timeout = absl::Milliseconds(1500);
    Backoff::Options backoff{absl::Milliseconds(200), absl::Seconds(10), 2.0, 0.5,
                             absl::Milliseconds(50)};
  };

  // All pointers and `random` outlive the client.
  DiscoveryClient(EventLoop* loop, Options options, StreamFactory factory, Observer* observer,
                  Logger* log, MetricRegistry* metrics, absl::BitGenRef random);
  DiscoveryClient(const DiscoveryClient&) = delete;
  DiscoveryClient& operator=(const DiscoveryClient&) = delete;
  ~DiscoveryClient();

  // Opens the stream, or moves it to a new identity.
  void Connect();

  // Finds out what `address` is. `done` runs once; inside the call when it is known.
  void Resolve(const IpAddress& address, ResolveCallback done);
  // Finds out anew, whatever is known: `done` runs once, in a later turn, after the next response
  // that says something of `address`; kUnavailable when there is none in time.
  void Refresh(const IpAddress& address, ResolveCallback done);

  // Absent until the control plane has sent the complete set once.
  absl::optional<PolicySet> Policies() const;
  std::vector<AddressPtr> Addresses() const { return cache_.Addresses(); }
  const DiscoveryCache& cache() const { return cache_; }
  // A stream is open and has brought a response.
  bool synced() const { return synced_; }
  const absl::Status& last_error() const { return last_error_; }

 private:
  struct Pending {
    std::vector<ResolveCallback> done;
    std::unique_ptr<EventLoop::Timer> deadline;
  };

  void OnResponse(DiscoveryCache::Response response);
  void OnStreamClosed(absl::Status why);
  using Questions = std::map<IpAddress, Pending>;

  void Ask(const IpAddress& address, Questions* questions, ResolveCallback done);
  // Answers what is known by now, and what `outcome` is about.
  void AnswerKnown(const DiscoveryCache::Outcome& outcome);
  void Answer(const IpAddress& address, ResolveResult result, Questions* questions);

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  StreamFactory factory_;
  Observer* const observer_;  // Not owned.
  Logger* const log_;         // Not owned.
  DiscoveryCache cache_;
  Backoff backoff_;
  const std::unique_ptr<EventLoop::Timer> reconnect_;
  std::unique_ptr<DiscoveryStream> stream_;
  Questions pending_;
  // Those that what is known does not answer.
  Questions refreshing_;
  uint64_t policy_epoch_ = 0;
  bool synced_ = false;
  absl::Status last_error_;
  RepeatFilter losses_said_;

  Counter* responses_;
  Counter* rejected_;
  Counter* reconnects_;
  std::map<ResolveResult, Counter*> resolved_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_DISCOVERY_CLIENT_H_
