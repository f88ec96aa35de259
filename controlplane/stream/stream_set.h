#ifndef BYRNIE_CONTROLPLANE_STREAM_STREAM_SET_H_
#define BYRNIE_CONTROLPLANE_STREAM_STREAM_SET_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/grpc/live_stream.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/peer/peer_identity.h"

namespace byrnie {

// One open stream of an agent, as the set sees it. Thread-safe.
class AgentStream : public LiveStream {
 public:
  AgentStream(absl::optional<PeerIdentity> peer, std::string address, std::string release = "")
      : peer_(std::move(peer)), address_(std::move(address)), release_(std::move(release)) {}

  // Absent for a caller without a certificate.
  const absl::optional<PeerIdentity>& peer() const { return peer_; }
  const std::string& address() const { return address_; }
  // What the agent calls itself; a claim.
  const std::string& release() const { return release_; }

 private:
  const absl::optional<PeerIdentity> peer_;
  const std::string address_;
  const std::string release_;
};

// Owns the open streams of one service and tells them what happens: something changed, a
// certificate has expired, the process ends. Keeps the agent table up to date. Thread-safe; the
// pointers outlive it.
class StreamSet final : public StreamOwner {
 public:
  StreamSet(AgentTable* agents, Gauge* count, const Clock* clock)
      : agents_(agents), count_(count), clock_(clock) {}
  // All streams have been removed by then: the server has shut down.
  ~StreamSet();

  // Takes a stream that was just opened and returns it. After EndAll() it is ended at once.
  AgentStream* Add(std::unique_ptr<AgentStream> stream);
  void Remove(LiveStream* stream) override;

  void WakeAll();
  // Only those from these addresses, "ip:port".
  void WakeAt(const std::set<std::string>& addresses);
  // Ends, Unauthenticated, the streams whose client certificate is past its end; to be called about
  // twice a second.
  void EndExpired();
  // Ends, Unauthenticated, the streams whose client certificate a revocation list of
  // `trust_domain` names. To be called as EndExpired; costs next to nothing while the version is
  // the same.
  void EndRevoked(const TrustBundleSource::Versioned& bundles, absl::string_view trust_domain);
  // Ends, DeadlineExceeded, the streams whose readers have taken nothing for kStall while there was
  // something for them: so one that hangs holds no memory and is found. To be called as EndExpired.
  // Returns the addresses of those readers.
  std::vector<std::string> EndStalled();
  void EndAll(const absl::Status& status);

  static constexpr absl::Duration kStall = absl::Seconds(20);

 private:
  struct Open {
    std::unique_ptr<AgentStream> stream;
    // What it waited for when it was last looked at, and since when it has.
    absl::optional<uint64_t> waiting;
    absl::Duration waiting_since;
    // The version of the bundles by which its certificate was found not to be revoked.
    uint64_t judged_by = 0;
  };

  AgentTable* const agents_;  // Not owned.
  Gauge* const count_;        // Not owned.
  const Clock* const clock_;  // Not owned.
  absl::Mutex mu_;
  absl::flat_hash_map<LiveStream*, Open> streams_ ABSL_GUARDED_BY(mu_);
  // Not OK once EndAll() was called.
  absl::Status ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STREAM_STREAM_SET_H_
