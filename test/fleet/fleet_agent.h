#ifndef BYRNIE_TEST_FLEET_FLEET_AGENT_H_
#define BYRNIE_TEST_FLEET_FLEET_AGENT_H_

#include <memory>
#include <string>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "certagent/key_custodian.h"
#include "certagent/renewer.h"
#include "common/event/event_loop.h"
#include "common/grpc/control_plane_channel.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "test/fleet/fleet_ca_client.h"

namespace byrnie {

// What of an agent is about certificates and trust, without a proxy and without discovery: the
// agent's own Renewer, with its rules, and its own key. Lives on its loop.
class FleetAgent {
 public:
  struct Options {
    // Without an identity.
    ControlPlaneChannelOptions server;
    TrustBundleSet bundles;
    std::string token_path;
    SpiffeId id;
  };

  // `loop` and `log` outlive it.
  FleetAgent(EventLoop* loop, Options options, Logger* log);
  FleetAgent(const FleetAgent&) = delete;
  FleetAgent& operator=(const FleetAgent&) = delete;

  bool ready() const { return renewer_->HasValidCertificate(); }
  int lost() const { return ca_.lost(); }
  // Whether its present certificate is good by what `verifier` trusts now: half a handshake.
  absl::Status IsGoodFor(const FleetAgent& verifier) const;
  // Mute, it acknowledges no bundles, as one whose proxy hangs; later it makes up for it.
  void SetMute(bool mute);

 private:
  void OnPublished(const IdentitySnapshotPtr& snapshot, bool rotated);

  EventLoop* const loop_;  // Not owned.
  const SpiffeId id_;
  absl::BitGen random_;
  MetricRegistry metrics_;
  KeyCustodian custodian_;
  FleetCaClient ca_;
  bool mute_ = false;
  std::unique_ptr<Renewer> renewer_;
};

}  // namespace byrnie

#endif  // BYRNIE_TEST_FLEET_FLEET_AGENT_H_
