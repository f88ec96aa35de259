#ifndef BYRNIE_CONTROLPLANE_CONTROL_PLANE_H_
#define BYRNIE_CONTROLPLANE_CONTROL_PLANE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/base/thread_pool.h"
#include "common/event/event_loop.h"
#include "common/http/http_server.h"
#include "common/http/same_user_guard.h"
#include "common/identity/trust_files.h"
#include "common/net/socket_address.h"
#include "common/net/socket_owner.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/attest/attestor_set.h"
#include "controlplane/attest/join_token.h"
#include "controlplane/attest/jwt_attestor.h"
#include "controlplane/attest/jwt_files.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/audit/spool_file.h"
#include "controlplane/audit/stored_issuances.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/ca_service.h"
#include "controlplane/ca/issuance.h"
#include "controlplane/ca/istio_service.h"
#include "controlplane/ca/jwt_authority.h"
#include "controlplane/ca/jwt_key_keeper.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/cluster/cluster.h"
#include "controlplane/control_plane_options.h"
#include "controlplane/discovery/delta_ads.h"
#include "controlplane/events/event_log.h"
#include "controlplane/flows/flow_ledger.h"
#include "controlplane/flows/flow_service.h"
#include "controlplane/health/health_watch.h"
#include "controlplane/health/readiness.h"
#include "controlplane/mesh_store.h"
#include "controlplane/operator/flow_calls.h"
#include "controlplane/operator/operator_directory.h"
#include "controlplane/operator/operator_service.h"
#include "controlplane/operator/operator_token_follower.h"
#include "controlplane/operator/trust_calls.h"
#include "controlplane/page/mesh_page.h"
#include "controlplane/page/mesh_state.h"
#include "controlplane/records/record_table.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry.h"
#include "controlplane/registry/registry_file_mark.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/registry/static_file.h"
#include "controlplane/server/grpc_server.h"
#include "controlplane/server/server_identity.h"
#include "controlplane/store/observed_store.h"
#include "controlplane/stored_registry.h"
#include "controlplane/stream/stranger_streams.h"
#include "controlplane/stream/stream_set.h"
#include "controlplane/stream/stream_waker.h"
#include "controlplane/trust/bundle_file.h"
#include "controlplane/trust/connected_fleet.h"
#include "controlplane/trust/shared_fleet.h"
#include "controlplane/trust/trust_keeper.h"
#include "controlplane/webhook/injector_file.h"
#include "controlplane/webhook/webhook_server.h"

namespace byrnie {

// The whole control plane: builds the parts, connects them, and takes them down. Lives on `loop`,
// which carries the admin pages and the periodic work; gRPC has threads of its own.
class ControlPlane {
 public:
  // How often the files that may change are looked at, and streams of expired and revoked callers
  // are ended.
  static constexpr absl::Duration kTick = absl::Milliseconds(500);
  // How often it is looked at whether who watches events still may, for which the store is asked
  // once, if anybody does. The API promises that a revocation counts within two seconds.
  static constexpr absl::Duration kLookAtOperators = absl::Milliseconds(500);
  // How long calls under way may take once the process is told to end.
  static constexpr absl::Duration kStopGrace = absl::Seconds(2);
  // Unary calls that are worked on, and that wait for their turn, beyond which they are refused.
  static constexpr size_t kMaxCalls = 64, kMaxWaitingCalls = 1024;

  // Starts everything; it serves when this returns. What can be wrong with the configuration is
  // looked at before anything is written, and a first start that fails removes what it made. Errors
  // say what is wrong and what to do. The pointers outlive it.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Start(const ControlPlaneOptions& options,
                                                             EventLoop* loop, const Clock* clock,
                                                             Logger* logger);

  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;
  // Ends the streams, waits for calls under way, closes the ports.
  ~ControlPlane();

  const SocketAddress& address() const { return server_->address(); }
  SocketAddress admin_address() const { return admin_->address(); }

 private:
  ControlPlane(ControlPlaneOptions options, EventLoop* loop, const Clock* clock, Logger* logger);
  absl::Status StartAll();
  void WarnOfOpenKeys() const;
  // Fails where the registry file has lost what the mesh once had in one.
  absl::Status CheckRegistryFile();
  // Puts what is stored of policies, workloads and services in force with the registry file, and
  // what another control plane stores later.
  absl::Status LoadRegistry();
  absl::Status StartCluster();
  absl::Status StartWebhook();
  absl::Status OpenIssuanceLog();
  // What the authorities and the files say, together.
  absl::StatusOr<TrustBundleSet> CollectBundles() const;
  // Publishes what has changed of that.
  void FollowTrust();
  void MakeAttestors();
  TrustBundleSource::Taint CurrentTaint() const;
  void RenewOwnCertificates();
  // Why neither agents nor API servers are to be sent here.
  absl::Status CheckReady() const;
  // Unavailable when a thread is stuck that only a new process would bring back. This loop, which
  // answers that, is missed by whoever asks.
  absl::Status CheckAlive() const;
  absl::Duration LongestLife() const;
  absl::Status JoinFleet();
  // Of others that share the store.
  void TellSettings();
  // Runs on a thread of the page's own: it looks at all that was reported, and waits for the store.
  MeshState GatherMeshState() const;
  void EndStalled(StreamSet* streams);
  void UpdateReadiness();
  // Brings input_files_ up to date.
  void NoteInputFiles();
  void Tick();

  const ControlPlaneOptions options_;
  EventLoop* const loop_;     // Not owned.
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.

  // In the order of what needs what.
  MetricRegistry metrics_;
  StrangerStreams strangers_{clock_, logger_, &metrics_};
  // Of calls of the services below, which may wait for the store and for attestors.
  ThreadPool call_threads_{kMaxCalls, kMaxWaitingCalls};
  const KernelSocketOwners socket_owners_;
  const SameUserGuard guard_;
  EventLog events_;
  AgentTable agents_{&events_};
  Registry registry_;
  RegistrySources registry_sources_{&registry_};
  // Null where the registry is the cluster's.
  std::unique_ptr<StaticFile> registry_file_;
  std::unique_ptr<RegistryFileMark> registry_mark_;  // With registry_file_.
  // Of files that are not there: those this start makes.
  std::vector<std::string> new_outputs_;
  bool new_store_ = false, new_spool_ = false;
  std::unique_ptr<TrustFiles> trust_files_;
  // Null when JWTs are not taken, as the attestor.
  std::unique_ptr<JwtFiles> jwt_files_;
  std::unique_ptr<MeshStore> mesh_store_;
  ObservedStore* store_ = nullptr;  // Of mesh_store_.
  std::unique_ptr<UnreadableRecords> unreadable_;
  std::unique_ptr<TrustKeeper> trust_;
  Authority* authority_ = nullptr;  // Of trust_.
  std::unique_ptr<StoredIssuances> stored_issuances_;
  std::unique_ptr<SpoolFile> issuance_spool_;  // Null: none.
  std::unique_ptr<IssuanceLog> issuance_log_;
  std::unique_ptr<JwtAuthority> jwt_authority_;
  std::unique_ptr<JwtKeyKeeper> jwt_keys_;
  std::unique_ptr<TrustBundleSource> bundles_;
  std::unique_ptr<BundleFile> bundle_file_;  // Null: none is kept.
  std::unique_ptr<ConnectedFleet> own_fleet_;
  // Where the store is shared.
  std::unique_ptr<SharedFleet> shared_fleet_;
  std::unique_ptr<ServerIdentity> identity_;
  // Where there is a webhook.
  std::unique_ptr<InjectorFile> injector_file_;
  std::unique_ptr<ServerIdentity> webhook_identity_;
  std::unique_ptr<WebhookServer> webhook_;
  // Where there is one.
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<JoinTokens> tokens_;
  std::unique_ptr<JwtAttestor> jwt_attestor_;
  std::unique_ptr<AttestorSet> attestors_;
  std::unique_ptr<Issuance> issuance_;
  std::unique_ptr<CaService> ca_service_;
  std::unique_ptr<IstioService> istio_service_;
  std::unique_ptr<DeltaAds> discovery_;
  std::unique_ptr<StreamWaker> discovery_waker_;
  std::unique_ptr<StoredRegistry> stored_registry_;
  // It waits for the store, which the loop must not.
  std::unique_ptr<PeriodicThread> catch_up_;
  std::unique_ptr<RecordTable> operator_records_;
  std::unique_ptr<OperatorDirectory> operators_;
  std::unique_ptr<TrustCalls> trust_calls_;
  std::unique_ptr<FlowLedger> flows_;
  std::unique_ptr<FlowService> flow_service_;
  std::unique_ptr<FlowCalls> flow_calls_;
  std::unique_ptr<OperatorTokenFollower> operator_token_;
  // As of the last tick, for the thread of health_.
  mutable absl::Mutex input_files_mu_;
  InputFiles input_files_ ABSL_GUARDED_BY(input_files_mu_);
  std::unique_ptr<HealthWatch> health_;
  std::unique_ptr<OperatorService> operator_;
  std::unique_ptr<PeriodicThread> look_at_operators_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<Readiness> readiness_;
  std::unique_ptr<MeshPage> mesh_page_;
  std::unique_ptr<HttpServer> admin_;
  Counter* const stalled_ = metrics_.AddCounter("byrnie_controlplane_streams_stalled_total",
                                                "Streams ended because their readers took nothing "
                                                "for 20 s while there was something to take.");
  std::unique_ptr<EventLoop::Timer> tick_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CONTROL_PLANE_H_
