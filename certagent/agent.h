#ifndef BYRNIE_CERTAGENT_AGENT_H_
#define BYRNIE_CERTAGENT_AGENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "certagent/admin.h"
#include "certagent/ca_client.h"
#include "certagent/control_plane_connector.h"
#include "certagent/discovery_client.h"
#include "certagent/flags.h"
#include "certagent/flow_collector.h"
#include "certagent/flow_forwarder.h"
#include "certagent/key_custodian.h"
#include "certagent/link_server.h"
#include "certagent/link_session.h"
#include "certagent/renewer.h"
#include "certagent/sign_audit.h"
#include "certagent/sink/file_sink.h"
#include "certagent/workload_api/jwt_issuer.h"
#include "certagent/workload_api/workload_api.h"
#include "certagent/workload_api/workload_metrics.h"
#include "common/base/clock.h"
#include "common/event/event_loop.h"
#include "common/identity/trust_files.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// The agent: builds the parts and hands what one brings to the others. Lives on one loop.
class Agent final : private LinkBackend, private DiscoveryClient::Observer {
 public:
  // Takes the admin port, then the link's socket, then the workload API's; nothing has changed when
  // it fails. Pointers outlive the agent.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(EventLoop* loop, const Clock* clock,
                                                       const AgentConfig& config, Logger* log);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent() override;

  // Asks for the first certificate; all else follows from it.
  void Start() { renewer_->Start(); }

 private:
  Agent(EventLoop* loop, const AgentConfig& config, Logger* log);

  bool HasProxy() const;
  void AskProxy(absl::AnyInvocable<void(ProxyPresence)> done);
  void PollTrustFiles();
  void UseRevocationLists();
  absl::Status ServeWorkloadApi(const AgentConfig& config, const Clock* clock);
  // To the certificate authority, wherever it is.
  ControlPlaneConnector* authority() {
    return ca_connector_ != nullptr ? ca_connector_.get() : &connector_;
  }
  std::unique_ptr<CaClient> NewCaClient(const AgentConfig& config);
  void OnPublish(const IdentitySnapshotPtr& snapshot, bool rotated);
  void WatchTrustBundles();
  absl::StatusOr<std::unique_ptr<DiscoveryStream>> OpenDiscovery(
      DiscoveryStream::Callbacks callbacks);

  IdentitySnapshotPtr Identity() override { return renewer_->snapshot(); }
  absl::optional<PolicySet> Policies() override { return discovery_->Policies(); }
  std::vector<AddressPtr> Addresses() override { return discovery_->Addresses(); }
  void OnIdentityInForce(uint64_t generation) override { renewer_->OnInForce(generation); }
  void OnProxyGone() override {
    renewer_->OnProxyGone();
    flows_->OnProxyGone();
  }
  absl::Status ForwardFlows(const link::v1::FlowReport& report, FlowCallback done) override {
    return flows_->Forward(report, std::move(done));
  }
  absl::StatusOr<std::string> Sign(absl::string_view leaf_fingerprint_hex, uint32_t scheme,
                                   absl::string_view input) override {
    absl::StatusOr<std::string> signature = custodian_->Sign(leaf_fingerprint_hex, scheme, input);
    audit_.Record(leaf_fingerprint_hex, scheme, input.size(), signature.status());
    return signature;
  }
  void Resolve(const IpAddress& address, bool refresh, LinkBackend::ResolveCallback done) override {
    if (refresh) {
      discovery_->Refresh(address, std::move(done));
    } else {
      discovery_->Resolve(address, std::move(done));
    }
  }

  void OnAddresses(const std::vector<AddressPtr>& upserts,
                   const std::vector<std::string>& removals) override {
    link_->OnAddresses(upserts, removals);
  }
  void OnPolicies(const PolicySet& policies) override { link_->OnPolicies(policies); }
  void OnConnected() override { flows_->OnControlPlane(); }

  EventLoop* const loop_;  // Not owned.
  Logger* const log_;      // Not owned.
  absl::BitGen random_;
  MetricRegistry metrics_;
  WorkloadMetrics workload_metrics_{&metrics_};
  std::unique_ptr<Admin> admin_;
  ControlPlaneConnector connector_;
  // Null when the control plane is the authority.
  std::unique_ptr<ControlPlaneConnector> ca_connector_;
  const AgentConfig::Ca ca_kind_;
  std::unique_ptr<KeyCustodian> custodian_;
  SignAudit audit_;
  std::unique_ptr<CaClient> ca_;
  std::unique_ptr<Renewer> renewer_;
  std::unique_ptr<DiscoveryClient> discovery_;
  std::unique_ptr<FlowCollector> flow_collector_;
  std::unique_ptr<FlowForwarder> flows_;
  std::unique_ptr<LinkServer> link_;
  std::unique_ptr<TrustFiles> trust_files_;
  std::unique_ptr<EventLoop::Timer> poll_trust_files_;
  // Null while it is off.
  std::unique_ptr<JwtIssuer> jwt_issuer_;
  std::unique_ptr<WorkloadApi> workload_api_;
  std::unique_ptr<FileSink> file_sink_;  // Null: keys go to no file.
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_AGENT_H_
