#ifndef BYRNIE_CONTROLPLANE_TESTING_GRPC_SERVICES_H_
#define BYRNIE_CONTROLPLANE_TESTING_GRPC_SERVICES_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/clock.h"
#include "common/base/status_matchers.h"
#include "common/base/thread_pool.h"
#include "common/crypto/csr.h"
#include "common/crypto/private_key.h"
#include "common/crypto/token/bearer_token.h"
#include "common/grpc/control_plane_channel.h"
#include "common/telemetry/log.h"
#include "controlplane/attest/attestor_set.h"
#include "controlplane/attest/join_token.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/audit/stored_issuances.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/ca_service.h"
#include "controlplane/ca/issuance.h"
#include "controlplane/ca/istio_service.h"
#include "controlplane/ca/testing/self_signed.h"
#include "controlplane/discovery/delta_ads.h"
#include "controlplane/flows/flow_ledger.h"
#include "controlplane/flows/flow_service.h"
#include "controlplane/operator/flow_calls.h"
#include "controlplane/operator/operator_directory.h"
#include "controlplane/operator/operator_service.h"
#include "controlplane/policy/policy_admin.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/server/grpc_server.h"
#include "controlplane/server/rotating_credentials.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/stream/stranger_streams.h"
#include "gtest/gtest.h"

namespace byrnie {

inline constexpr char kId[] = "spiffe://cluster.local/ns/demo/sa/app";
inline constexpr char kOperatorToken[] = "operator-secret";
inline constexpr char kOperatorId[] = "spiffe://cluster.local/ns/ops/sa/alice";

// The clocks of the machine, of which the monotonic one skips what it is told to.
class SkippingClock final : public Clock {
 public:
  absl::Time WallNow() const override { return system_.WallNow(); }
  absl::Duration MonotonicNow() const override {
    return system_.MonotonicNow() + absl::Nanoseconds(skipped_.load());
  }
  void Skip(absl::Duration duration) { skipped_ += absl::ToInt64Nanoseconds(duration); }

 private:
  SystemClock system_;
  std::atomic<int64_t> skipped_ = 0;
};

// All services of a control plane behind a gRPC server on loopback, and clients of them.
class GrpcServices : public ::testing::Test {
 protected:
  // The library itself checks certificates by the clock of the machine, so the authority has that
  // one too.
  explicit GrpcServices(double issue_rate = 0) {
    authority_ =
        std::make_unique<Authority>(SelfSigned("cluster.local", clock_.WallNow()), &clock_);
    jwt_authority_ = *JwtAuthority::LoadOrCreate(&store_, "cluster.local", &clock_, {});
    TrustBundleMap bundles;
    bundles["cluster.local"].roots = authority_->snapshot()->roots;
    bundles["cluster.local"].jwt_keys = jwt_authority_->PublicKeys();
    bundles_ = std::make_unique<TrustBundleSource>(*TrustBundleSet::Create(std::move(bundles)));
    identity_ = *ServerIdentity::Create(authority_.get(), &clock_);
    tokens_ = std::make_unique<JoinTokens>("cluster.local", &store_, &clock_, &metrics_);
    attestors_ = std::make_unique<AttestorSet>(std::vector<Attestor*>{tokens_.get()}, &metrics_);
    issuance_ = std::make_unique<Issuance>(authority_.get(), attestors_.get(), bundles_.get(),
                                           absl::Hours(1), issue_rate, &agents_, &clock_, &logger_,
                                           &metrics_, /*identity_issue_rate=*/0, &log_);
    ca_ = std::make_unique<CaService>(issuance_.get(), authority_.get(), jwt_authority_.get(),
                                      bundles_.get(),
                                      CaService::Options{"cluster.local", issue_rate, 0}, &agents_,
                                      &log_, &strangers_, &threads_, &clock_, &logger_, &metrics_);
    ads_ = std::make_unique<DeltaAds>("cluster.local", &registry_, bundles_.get(), &agents_,
                                      &clock_, &logger_, &metrics_);
    istio_ =
        std::make_unique<IstioService>(issuance_.get(), bundles_.get(), "cluster.local", &threads_);
    registry_.SetListener([this] { ads_->streams()->WakeAll(); });
    entries_ = *RegistryAdmin::Create(&store_, &sources_, "cluster.local", &unreadable_, &events_,
                                      &clock_);
    policies_ = *PolicyAdmin::Create(&policy_records_, &sources_, entries_.get(), &unreadable_,
                                     &events_, &clock_);
    operators_ = std::make_unique<OperatorDirectory>(
        HashBearerToken(kOperatorToken), OperatorIdentities{{kOperatorId, Role::kOperator}},
        &operator_records_, &clock_);
    operator_ = std::make_unique<OperatorService>(
        operators_.get(),
        OperatorSources{operators_.get(), tokens_.get(), authority_.get(), ca_.get(),
                        bundles_.get(), &agents_, &registry_, policies_.get(), entries_.get(),
                        &events_, &clock_, &flow_calls_},
        &threads_, &logger_, &metrics_);
    flow_service_ =
        std::make_unique<FlowService>(&flows_, bundles_.get(), &registry_, "cluster.local",
                                      &threads_, &clock_, &logger_, &metrics_);
    auto server = GrpcServer::Start(
        *SocketAddress::Parse("127.0.0.1:0"),
        CreateRotatingServerCredentials(identity_.get(), bundles_.get()),
        {ca_.get(), istio_.get(), ads_.get(), flow_service_.get(), operator_.get()}, &strangers_);
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
  }
  ~GrpcServices() override {
    registry_.SetListener(nullptr);
    operator_->streams()->EndAll(absl::UnavailableError("the test is over"));
  }

  static void SetUpTestSuite() { RequireTls13(); }

  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel(
      absl::optional<ControlPlaneClientIdentity> identity = absl::nullopt) {
    ControlPlaneChannelOptions options;
    options.target = server_->address().ToString();
    options.trust_domain = "cluster.local";
    options.trust_bundle_pem = authority_->root()->ToPem();
    options.identity = std::move(identity);
    return CreateControlPlaneChannel(options);
  }

  // Calls Issue with a CSR that asks for `csr_san`, and a token where there is one.
  grpc::Status Issue(const std::shared_ptr<grpc::Channel>& channel, const PrivateKey& key,
                     absl::string_view csr_san, absl::string_view token,
                     ca::v1::IssueResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    ca::v1::IssueRequest request;
    request.set_csr(*CreateCsr(key, csr_san));
    return ca::v1::CertificateAuthority::NewStub(channel)->Issue(&context, request, response);
  }

  // A client with the identity kId, issued by the authority directly.
  ControlPlaneClientIdentity Client(absl::string_view id = kId,
                                    absl::Duration ttl = absl::Hours(1)) {
    auto key = *PrivateKey::Generate();
    auto issued = authority_->Issue(*SpiffeId::Parse(id), key->PublicKeyDer(), ttl, ttl);
    return ControlPlaneClientIdentity{issued->chain, key};
  }

  std::string Token() {
    return std::string(tokens_->Create(*SpiffeId::Parse(kId), absl::Minutes(1))->token.view());
  }

  SkippingClock clock_;
  MemoryStore store_;
  MetricRegistry metrics_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  UnreadableRecords unreadable_{"", &logger_, &metrics_};
  StrangerStreams strangers_{&clock_, &logger_, &metrics_};
  ThreadPool threads_{4, 100};
  AgentTable agents_;
  StoredIssuances issuances_{&store_};
  IssuanceLog log_{&issuances_, nullptr, {}, &clock_, &logger_, &metrics_};
  Registry registry_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<JwtAuthority> jwt_authority_;
  std::unique_ptr<TrustBundleSource> bundles_;
  std::unique_ptr<ServerIdentity> identity_;
  std::unique_ptr<JoinTokens> tokens_;
  std::unique_ptr<AttestorSet> attestors_;
  std::unique_ptr<Issuance> issuance_;
  std::unique_ptr<CaService> ca_;
  std::unique_ptr<IstioService> istio_;
  std::unique_ptr<DeltaAds> ads_;
  RegistrySources sources_{&registry_};
  EventLog events_{&clock_};
  FlowLedger flows_{&clock_, &events_, &metrics_};
  FlowCalls flow_calls_{&flows_, &registry_, &agents_};
  std::unique_ptr<FlowService> flow_service_;
  RecordTable policy_records_{&store_, "policies/"}, operator_records_{&store_, "operators/"};
  std::unique_ptr<RegistryAdmin> entries_;
  std::unique_ptr<PolicyAdmin> policies_;
  std::unique_ptr<OperatorDirectory> operators_;
  std::unique_ptr<OperatorService> operator_;
  std::unique_ptr<GrpcServer> server_;
  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TESTING_GRPC_SERVICES_H_
