// The services behind a real gRPC server on loopback, and real clients: who gets a certificate, and
// who does not.

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/base/clock.h"
#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "common/crypto/csr.h"
#include "common/crypto/pem.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/crypto/token/bearer_token.h"
#include "common/grpc/control_plane_channel.h"
#include "common/grpc/status_conversion.h"
#include "common/identity/jwt_svid.h"
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
#include "controlplane/registry/registry_admin.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/server/grpc_server.h"
#include "controlplane/server/rotating_credentials.h"
#include "controlplane/store/testing/memory_store.h"
#include "controlplane/stream/stranger_streams.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "istio/v1/auth/ca.grpc.pb.h"

namespace byrnie {
namespace {

using byrnie::ca::v1::CertificateAuthority;
using byrnie::ca::v1::IssueRequest;
using byrnie::ca::v1::IssueResponse;
using byrnie::operator_::v1::CreateJoinTokenRequest;
using byrnie::operator_::v1::CreateJoinTokenResponse;
using byrnie::operator_::v1::GetStatusRequest;
using byrnie::operator_::v1::GetStatusResponse;
using byrnie::operator_::v1::Operator;
using envoy::service::discovery::v3::AggregatedDiscoveryService;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kId[] = "spiffe://cluster.local/ns/demo/sa/app";
constexpr char kOperatorToken[] = "operator-secret";
constexpr char kOperatorId[] = "spiffe://cluster.local/ns/ops/sa/alice";

class GrpcEndToEndTest : public ::testing::Test {
 protected:
  // The library itself checks certificates by the clock of the machine, so the authority has that
  // one too.
  explicit GrpcEndToEndTest(double issue_rate = 0) {
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
                                           &metrics_);
    ca_ = std::make_unique<CaService>(issuance_.get(), authority_.get(), jwt_authority_.get(),
                                      bundles_.get(),
                                      CaService::Options{"cluster.local", issue_rate, 0}, &agents_,
                                      &log_, &strangers_, &clock_, &logger_, &metrics_);
    ads_ = std::make_unique<DeltaAds>("cluster.local", &registry_, bundles_.get(), &agents_,
                                      &clock_, &logger_, &metrics_);
    istio_ = std::make_unique<IstioService>(issuance_.get(), bundles_.get(), "cluster.local");
    registry_.SetListener([this] { ads_->streams()->WakeAll(); });
    entries_ =
        *RegistryAdmin::Create(&store_, &sources_, "cluster.local", &events_, &clock_, &logger_);
    policies_ =
        *PolicyAdmin::Create(&policy_records_, &sources_, entries_.get(), &events_, &clock_);
    operators_ = std::make_unique<OperatorDirectory>(
        HashBearerToken(kOperatorToken), OperatorIdentities{{kOperatorId, Role::kOperator}},
        &operator_records_, &clock_);
    operator_ = std::make_unique<OperatorService>(
        operators_.get(),
        OperatorSources{operators_.get(), tokens_.get(), authority_.get(), ca_.get(),
                        bundles_.get(), &agents_, &registry_, policies_.get(), entries_.get(),
                        &events_, &clock_, &flow_calls_},
        &logger_, &metrics_);
    flow_service_ = std::make_unique<FlowService>(&flows_, bundles_.get(), &registry_,
                                                  "cluster.local", &clock_, &logger_, &metrics_);
    auto server = GrpcServer::Start(
        *SocketAddress::Parse("127.0.0.1:0"),
        CreateRotatingServerCredentials(identity_.get(), bundles_.get()),
        {ca_.get(), istio_.get(), ads_.get(), flow_service_.get(), operator_.get()}, &strangers_);
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
  }
  ~GrpcEndToEndTest() override {
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
                     absl::string_view csr_san, absl::string_view token, IssueResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    IssueRequest request;
    request.set_csr(*CreateCsr(key, csr_san));
    return CertificateAuthority::NewStub(channel)->Issue(&context, request, response);
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

  SystemClock clock_;
  MemoryStore store_;
  MetricRegistry metrics_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  StrangerStreams strangers_{&clock_, &logger_, &metrics_};
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

// A report of one connection to 10.0.0.2:8080.
byrnie::flow::v1::ReportRequest OneFlow() {
  byrnie::flow::v1::ReportRequest request;
  request.set_instance(7);
  auto* edge = request.add_edges();
  edge->set_side(byrnie::flow::v1::Edge::SIDE_DESTINATION);
  edge->set_path(byrnie::flow::v1::Edge::PATH_HBONE);
  edge->set_verdict(byrnie::flow::v1::Edge::VERDICT_ALLOWED);
  edge->set_peer_spiffe_id("spiffe://cluster.local/ns/demo/sa/client");
  edge->set_destination_address("10.0.0.2:8080");
  edge->set_opened(3);
  edge->mutable_first_seen()->set_seconds(1000);
  edge->mutable_last_seen()->set_seconds(1000);
  return request;
}

TEST_F(GrpcEndToEndTest, AFlowIsOfWhoeverReportsIt) {
  auto stub = byrnie::flow::v1::FlowCollector::NewStub(*Channel(Client()));
  byrnie::flow::v1::ReportResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub->Report(&context, OneFlow(), &response).ok());
  EXPECT_EQ(response.table(), flows_.name());
  EXPECT_EQ(response.next_report_after().seconds(), 5);
  ASSERT_EQ(flows_.List().size(), 1u);
  EXPECT_EQ(flows_.List()[0].reporter.id.text(), kId);
  EXPECT_EQ(flows_.List()[0].reporter.host, "127.0.0.1");

  byrnie::flow::v1::ReportRequest ended;
  ended.set_instance(7);
  ended.set_ended(true);
  grpc::ClientContext last;
  ASSERT_TRUE(stub->Report(&last, ended, &response).ok());
  EXPECT_TRUE(flows_.List()[0].ended);
}

TEST_F(GrpcEndToEndTest, NobodyReportsFlowsOfAnother) {
  byrnie::flow::v1::ReportResponse response;
  const auto code = [&](const std::shared_ptr<grpc::Channel>& channel,
                        const byrnie::flow::v1::ReportRequest& request) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", kOperatorToken));
    return byrnie::flow::v1::FlowCollector::NewStub(channel)
        ->Report(&context, request, &response)
        .error_code();
  };
  EXPECT_EQ(code(*Channel(), OneFlow()), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(*Channel(Client("spiffe://cluster.local/byrnie/controlplane")), OneFlow()),
            grpc::StatusCode::PERMISSION_DENIED);
  byrnie::flow::v1::ReportRequest bad = OneFlow();
  bad.mutable_edges(0)->clear_side();
  EXPECT_EQ(code(*Channel(Client()), bad), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(flows_.size(), 0u);

  // An address that the registry gives to somebody else.
  RegistryContent content;
  auto& server = content.workloads.emplace_back();
  server.set_uid("server");
  server.set_name("server");
  server.set_namespace_("demo");
  server.set_service_account("server");
  server.set_trust_domain("cluster.local");
  server.add_addresses(std::string("\x0a\x00\x00\x02", 4));
  ASSERT_THAT(sources_.Set(RegistrySources::Source::kFile, content), IsOk());
  EXPECT_EQ(code(*Channel(Client()), OneFlow()), grpc::StatusCode::OK);
  EXPECT_EQ(flows_.size(), 0u);
  EXPECT_EQ(code(*Channel(Client("spiffe://cluster.local/ns/demo/sa/server")), OneFlow()),
            grpc::StatusCode::OK);
  EXPECT_EQ(flows_.size(), 1u);
}

std::string IssuedId(const IssueResponse& response) {
  auto leaf = Certificate::FromDer(response.certificate_chain(0));
  return leaf.ok() && (*leaf)->uri_sans().size() == 1 ? (*leaf)->uri_sans()[0] : "";
}

TEST_F(GrpcEndToEndTest, ATokenGivesItsIdentityWhateverTheCsrSaysAndOnlyOnce) {
  const std::string token = Token();
  IssueResponse response;
  grpc::Status status =
      Issue(*Channel(), *key_, "spiffe://cluster.local/ns/kube-system/sa/admin", token, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(IssuedId(response), kId);
  EXPECT_EQ(response.trust_bundles().version(), 1u);
  ASSERT_EQ(response.trust_bundles().bundles_size(), 1);
  EXPECT_EQ(response.trust_bundles().bundles(0).roots(0), authority_->root()->der());
  EXPECT_LT(response.renewal_window().start().seconds(), response.renewal_window().end().seconds());

  status = Issue(*Channel(), *key_, kId, token, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcEndToEndTest, OfAHundredParallelUsesOfATokenExactlyOneGetsACertificate) {
  constexpr int kUses = 100;
  const std::string token = Token();
  // Several connections, as of several thieves.
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 4; ++i) channels.push_back(*Channel());
  std::vector<grpc::Status> statuses(kUses);
  std::vector<IssueResponse> responses(kUses);
  std::vector<std::thread> threads;
  for (int i = 0; i < kUses; ++i) {
    threads.emplace_back([&, i] {
      statuses[i] = Issue(channels[i % channels.size()], *key_, kId, token, &responses[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  int issued = 0;
  for (int i = 0; i < kUses; ++i) {
    if (statuses[i].ok()) {
      ++issued;
      EXPECT_EQ(IssuedId(responses[i]), kId);
      continue;
    }
    EXPECT_EQ(statuses[i].error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(statuses[i].error_message(), kCredentialRefused);
    EXPECT_EQ(responses[i].certificate_chain_size(), 0);
  }
  EXPECT_EQ(issued, 1);
  EXPECT_EQ(issuance_->certificates_issued(), 1u);
}

TEST_F(GrpcEndToEndTest, TheOperatorLearnsHowAnIdentityWasProvenAndWhyNot) {
  IssueResponse response;
  ASSERT_TRUE(Issue(*Channel(), *key_, kId, Token(), &response).ok());
  EXPECT_FALSE(Issue(*Channel(), *key_, kId, "guess", &response).ok());
  EXPECT_FALSE(Issue(*Channel(), *key_, kId, "eyJ.eyJ.c2ln", &response).ok());
  const std::string metrics = metrics_.RenderPrometheusText();
  for (const char* line : {R"(attestations_total{attestor="join_token",result="accepted"} 1)",
                           R"(attestations_total{attestor="join_token",result="unknown-token"} 1)",
                           R"(attestations_total{attestor="none",result="unrecognized"} 1)"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  grpc::ClientContext context;
  auto stream = CertificateAuthority::NewStub(*Channel(Client()))->WatchTrustBundles(&context);
  byrnie::ca::v1::WatchTrustBundlesResponse bundles;
  ASSERT_TRUE(stream->Read(&bundles));
  ASSERT_EQ(agents_.List().size(), 1u);
  EXPECT_EQ(agents_.List()[0].certificate_proof, "join_token");
  ASSERT_TRUE(Issue(*Channel(Client()), *key_, "", "", &response).ok());
  EXPECT_EQ(agents_.List()[0].certificate_proof, "svid");
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcEndToEndTest, AJwtSvidIsOfTheClientCertificatesIdentity) {
  auto stub = CertificateAuthority::NewStub(*Channel(Client()));
  byrnie::ca::v1::IssueJwtSvidRequest request;
  request.add_audience("db");
  request.mutable_ttl()->set_seconds(60);
  byrnie::ca::v1::IssueJwtSvidResponse response;
  grpc::ClientContext context;
  const grpc::Status status = stub->IssueJwtSvid(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  absl::StatusOr<JwtSvid> svid =
      VerifyJwtSvid(response.svid(), "db", *bundles_->bundles(), clock_.WallNow());
  ASSERT_THAT(svid, IsOk());
  EXPECT_EQ(svid->id.text(), kId);
  EXPECT_EQ(absl::ToUnixSeconds(svid->expires_at), response.expires_at().seconds());
  EXPECT_LE(response.expires_at().seconds() - response.issued_at().seconds(), 60);
  // And is in the log, named by what only a holder of the token can tell.
  auto logged = log_.Read({});
  ASSERT_THAT(logged, IsOk());
  ASSERT_EQ(logged->records.size(), 1u);
  const IssuanceRecord& record = logged->records.front();
  EXPECT_EQ(record.identity, kId);
  EXPECT_EQ(record.audience, std::vector<std::string>{"db"});
  EXPECT_EQ(record.serial, Sha256FingerprintHex(response.svid()).substr(0, 32));
  EXPECT_EQ(absl::ToUnixSeconds(record.not_after), response.expires_at().seconds());
}

// An authority that gives one of each, and the next a day later.
class ThrottledEndToEndTest : public GrpcEndToEndTest {
 protected:
  ThrottledEndToEndTest() : GrpcEndToEndTest(/*issue_rate=*/1e-5) {}
};

TEST_F(ThrottledEndToEndTest, JwtSvidsAreLimitedBesideCertificatesNotWithThem) {
  auto channel = Channel(Client());
  ASSERT_THAT(channel, IsOk());
  auto stub = CertificateAuthority::NewStub(*channel);
  byrnie::ca::v1::IssueJwtSvidRequest request;
  request.add_audience("db");
  std::vector<grpc::StatusCode> codes;
  for (int i = 0; i < 2; ++i) {
    byrnie::ca::v1::IssueJwtSvidResponse response;
    grpc::ClientContext context;
    codes.push_back(stub->IssueJwtSvid(&context, request, &response).error_code());
  }
  EXPECT_THAT(codes, ElementsAre(grpc::StatusCode::OK, grpc::StatusCode::RESOURCE_EXHAUSTED));
  IssueResponse issued;
  EXPECT_TRUE(Issue(*channel, *key_, "", "", &issued).ok());
  EXPECT_EQ(Issue(*channel, *key_, "", "", &issued).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ThrottledEndToEndTest, IstiosAgentsAreToldToComeBackInTheCodeAfterWhichTheyDo) {
  auto stub = istio::v1::auth::IstioCertificateService::NewStub(*Channel(Client()));
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(ToPem(*CreateCsr(*key_, ""), "CERTIFICATE REQUEST"));
  istio::v1::auth::IstioCertificateResponse response;
  grpc::ClientContext first, second;
  EXPECT_TRUE(stub->CreateCertificate(&first, request, &response).ok());
  ASSERT_EQ(response.cert_chain_size(), 2);
  EXPECT_EQ(response.cert_chain(1), authority_->root()->ToPem());
  const absl::Status throttled =
      FromGrpcStatus(stub->CreateCertificate(&second, request, &response));
  EXPECT_THAT(throttled, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_NE(RetryAfter(throttled), absl::nullopt);
}

TEST_F(GrpcEndToEndTest, NoJwtSvidWithoutACertificateNorForTheMeshItself) {
  byrnie::ca::v1::IssueJwtSvidRequest request;
  request.add_audience("db");
  byrnie::ca::v1::IssueJwtSvidResponse response;
  const std::string token = Token();
  grpc::ClientContext with_token;
  with_token.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  EXPECT_EQ(CertificateAuthority::NewStub(*Channel())
                ->IssueJwtSvid(&with_token, request, &response)
                .error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext reserved;
  EXPECT_EQ(
      CertificateAuthority::NewStub(*Channel(Client("spiffe://cluster.local/byrnie/controlplane")))
          ->IssueJwtSvid(&reserved, request, &response)
          .error_code(),
      grpc::StatusCode::PERMISSION_DENIED);
  auto stub = CertificateAuthority::NewStub(*Channel(Client()));
  request.clear_audience();
  grpc::ClientContext without_audience;
  EXPECT_EQ(stub->IssueJwtSvid(&without_audience, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  for (int i = 0; i < 17; ++i) request.add_audience("db");
  grpc::ClientContext too_many;
  EXPECT_EQ(stub->IssueJwtSvid(&too_many, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(response.svid().empty());
  // The token was not used up.
  IssueResponse issued;
  EXPECT_TRUE(Issue(*Channel(), *key_, kId, token, &issued).ok());
  ASSERT_EQ(issued.trust_bundles().bundles(0).jwt_keys_size(), 1);
  EXPECT_FALSE(issued.trust_bundles().bundles(0).jwt_keys(0).key_id().empty());
}

TEST_F(GrpcEndToEndTest, ATokenWhoseIssueFailsStaysUsable) {
  const std::string token = Token();
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  IssueRequest request;
  request.set_csr("no csr");
  IssueResponse response;
  auto channel = Channel();
  EXPECT_EQ(
      CertificateAuthority::NewStub(*channel)->Issue(&context, request, &response).error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(Issue(*channel, *key_, kId, token, &response).ok());
}

TEST_F(GrpcEndToEndTest, ACertificateRenewsItselfAndNothingElse) {
  auto channel = Channel(Client());
  ASSERT_THAT(channel, IsOk());
  IssueResponse response;
  const grpc::Status status =
      Issue(*channel, *key_, "spiffe://cluster.local/ns/other/sa/other", "", &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(IssuedId(response), kId);
}

TEST_F(GrpcEndToEndTest, TheControlPlanesOwnIdentityIsNotGivenAway) {
  IssueResponse response;
  EXPECT_EQ(Issue(*Channel(Client("spiffe://cluster.local/byrnie/controlplane")), *key_, kId, "",
                  &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(GrpcEndToEndTest, WithoutAnyProofNothingIsIssued) {
  IssueResponse response;
  EXPECT_EQ(Issue(*Channel(), *key_, kId, "", &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcEndToEndTest, AClientOfAnotherAuthorityIsRefused) {
  const auto other =
      std::make_unique<Authority>(SelfSigned("cluster.local", clock_.WallNow()), &clock_);
  auto issued =
      other->Issue(*SpiffeId::Parse(kId), key_->PublicKeyDer(), absl::nullopt, absl::Hours(1));
  IssueResponse response;
  EXPECT_FALSE(
      Issue(*Channel(ControlPlaneClientIdentity{issued->chain, key_}), *key_, kId, "", &response)
          .ok());
}

TEST_F(GrpcEndToEndTest, AClientRefusesAServerThatIsNotTheControlPlane) {
  ControlPlaneChannelOptions options;
  options.target = server_->address().ToString();
  options.trust_domain = "other.org";
  options.trust_bundle_pem = authority_->root()->ToPem();
  IssueResponse response;
  EXPECT_EQ(Issue(*CreateControlPlaneChannel(options), *key_, kId, Token(), &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcEndToEndTest, PlaintextIsRefused) {
  auto channel =
      grpc::CreateChannel(server_->address().ToString(), grpc::InsecureChannelCredentials());
  IssueResponse response;
  EXPECT_EQ(Issue(channel, *key_, kId, Token(), &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcEndToEndTest, TheServersCertificateRotatesWithoutARestart) {
  IssueResponse response;
  ASSERT_TRUE(Issue(*Channel(), *key_, kId, Token(), &response).ok());
  const std::string before = identity_->current()->serial;
  ASSERT_THAT(identity_->Rotate(), IsOk());
  EXPECT_NE(identity_->current()->serial, before);
  EXPECT_TRUE(Issue(*Channel(), *key_, kId, Token(), &response).ok());
}

TEST_F(GrpcEndToEndTest, OnlyTheOperatorsTokenOpensTheOperatorApi) {
  auto stub = Operator::NewStub(*Channel());
  for (const std::string& token :
       {std::string(), std::string("wrong"), std::string(kOperatorToken)}) {
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    CreateJoinTokenRequest request;
    request.set_spiffe_id(kId);
    CreateJoinTokenResponse response;
    const grpc::Status status = stub->CreateJoinToken(&context, request, &response);
    EXPECT_EQ(status.ok(), token == kOperatorToken) << status.error_message();
    EXPECT_EQ(response.token().empty(), token != kOperatorToken);
  }
}

TEST_F(GrpcEndToEndTest, AnOperatorsCertificateHasItsRoleAndAnotherOneHasNone) {
  const auto status_of = [&](absl::string_view id) {
    grpc::ClientContext context;
    GetStatusResponse response;
    const grpc::Status status =
        Operator::NewStub(*Channel(Client(id)))->GetStatus(&context, {}, &response);
    EXPECT_EQ(response.caller(), status.ok() ? id : "");
    return status.error_code();
  };
  EXPECT_EQ(status_of(kOperatorId), grpc::StatusCode::OK);
  EXPECT_EQ(status_of(kId), grpc::StatusCode::PERMISSION_DENIED);
  grpc::ClientContext context;
  byrnie::operator_::v1::CreateOperatorTokenRequest request;
  byrnie::operator_::v1::CreateOperatorTokenResponse response;
  EXPECT_EQ(Operator::NewStub(*Channel(Client(kOperatorId)))
                ->CreateOperatorToken(&context, request, &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

// A wrong token is not made good by a certificate: whoever gives one means it.
TEST_F(GrpcEndToEndTest, ATokenThatIsGivenCounts) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer wrong");
  GetStatusResponse response;
  EXPECT_EQ(Operator::NewStub(*Channel(Client(kOperatorId)))
                ->GetStatus(&context, {}, &response)
                .error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcEndToEndTest, EventsAreSentAsTheyComeUntilTheTokenEnds) {
  const std::string token(
      operators_->Create("bob", Role::kViewer, absl::Hours(1), "me")->secret.view());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  byrnie::operator_::v1::WatchEventsRequest request;
  request.set_follow(true);
  auto stream = Operator::NewStub(*Channel())->WatchEvents(&context, request);
  events_.Add(EventKind::kPolicyChanged, "demo/x", "applied", "bob");
  byrnie::operator_::v1::WatchEventsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.event().subject(), "demo/x");
  operator_->EndInvalidStreams();
  events_.Add(EventKind::kPolicyChanged, "demo/y", "applied", "bob");
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.event().subject(), "demo/y");
  ASSERT_THAT(operators_->Revoke("bob"), IsOk());
  operator_->EndInvalidStreams();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcEndToEndTest, ErrorsOfTheOperatorApiSayForProgramsWhatIsWrong) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", kOperatorToken));
  byrnie::operator_::v1::ListWorkloadsRequest request;
  request.set_page_size(-1);
  byrnie::operator_::v1::ListWorkloadsResponse response;
  const grpc::Status status =
      Operator::NewStub(*Channel())->ListWorkloads(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.BadRequest"));
}

TEST_F(GrpcEndToEndTest, DiscoveryNeedsACertificateAndPushesChanges) {
  grpc::ClientContext anonymous;
  auto refused =
      AggregatedDiscoveryService::NewStub(*Channel())->DeltaAggregatedResources(&anonymous);
  EXPECT_EQ(refused->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto stream =
      AggregatedDiscoveryService::NewStub(*Channel(Client()))->DeltaAggregatedResources(&context);
  DeltaAds::Request request;
  request.set_type_url("type.googleapis.com/istio.workload.Address");
  request.add_resource_names_subscribe("/10.0.0.9");
  ASSERT_TRUE(stream->Write(request));
  DeltaAds::Response response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.removed_resources_size(), 1);

  RegistryContent content;
  istio::workload::Workload workload;
  workload.set_uid("w");
  workload.set_name("w");
  workload.set_namespace_("demo");
  workload.set_service_account("app");
  workload.set_trust_domain("cluster.local");
  workload.add_addresses(std::string("\x0a\x00\x00\x09", 4));
  content.workloads.push_back(workload);
  registry_.Publish(*RegistrySnapshot::Create(content));
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.resources_size(), 1);
  EXPECT_EQ(response.resources(0).name(), "w");

  ASSERT_EQ(agents_.size(), 1u);
  EXPECT_EQ(agents_.List()[0].id.text(), kId);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcEndToEndTest, TrustBundlesAreSentAtOnceAndAcknowledged) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto stream = CertificateAuthority::NewStub(*Channel(Client()))->WatchTrustBundles(&context);
  byrnie::ca::v1::WatchTrustBundlesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.trust_bundles().version(), 1u);
  byrnie::ca::v1::WatchTrustBundlesRequest request;
  request.set_acknowledged_version(1);
  ASSERT_TRUE(stream->Write(request));
  bundles_->Publish(*TrustBundleSet::Create({{"cluster.local", {authority_->snapshot()->roots}}}));
  ca_->streams()->WakeAll();
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.trust_bundles().version(), 2u);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcEndToEndTest, AnEndingServerEndsItsStreams) {
  grpc::ClientContext context;
  auto stream = CertificateAuthority::NewStub(*Channel(Client()))->WatchTrustBundles(&context);
  byrnie::ca::v1::WatchTrustBundlesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ca_->streams()->EndAll(absl::UnavailableError("shutting down"));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcEndToEndTest, TheStandardHealthServiceSaysServing) {
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(grpc::health::v1::Health::NewStub(*Channel())->Check(&context, {}, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(GrpcEndToEndTest, AnEndingServerSaysSoToWhoWatchesItsHealth) {
  using grpc::health::v1::HealthCheckResponse;
  grpc::ClientContext context;
  auto watch = grpc::health::v1::Health::NewStub(*Channel())->Watch(&context, {});
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  operator_->streams()->EndAll(absl::UnavailableError("the test is over"));
  server_->Stop(absl::Seconds(20));
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcEndToEndTest, ManyStreamsOfAStrangerAreRefusedAndThoseOfAnAgentAreNot) {
  const auto strangers = *Channel();
  const auto open = [](const std::shared_ptr<grpc::Channel>& channel,
                       grpc::ClientContext* context) {
    return CertificateAuthority::NewStub(channel)->WatchTrustBundles(context);
  };
  using BundlesStream = decltype(open(strangers, nullptr));
  byrnie::ca::v1::WatchTrustBundlesResponse response;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<BundlesStream> streams;
  for (size_t i = 0; i < StrangerStreams::kOfOneAddress; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(open(strangers, contexts.back().get()));
    ASSERT_TRUE(streams.back()->Read(&response));
  }
  {
    grpc::ClientContext context;
    auto refused = open(strangers, &context);
    EXPECT_FALSE(refused->Read(&response));
    const grpc::Status status = refused->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(RetryAfter(FromGrpcStatus(status)), StrangerStreams::kRetryAfter);
  }
  {  // Watches of health count with them; looking once does not.
    grpc::ClientContext watching, looking;
    grpc::health::v1::HealthCheckResponse health;
    auto stub = grpc::health::v1::Health::NewStub(strangers);
    EXPECT_EQ(stub->Watch(&watching, {})->Finish().error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_TRUE(stub->Check(&looking, {}, &health).ok());
  }
  grpc::ClientContext context;
  auto agent = open(*Channel(Client()), &context);
  EXPECT_TRUE(agent->Read(&response));
  agent->WritesDone();
  EXPECT_TRUE(agent->Finish().ok());
  for (BundlesStream& stream : streams) {
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
}

TEST_F(GrpcEndToEndTest, ReflectionListsTheServices) {
  grpc::GenericStub stub(*Channel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  const auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(next());
  // ServerReflectionRequest{list_services: "*"}, whose generated code Debian does not ship.
  const grpc::Slice request("\x3a\x01*", 3);
  call->Write(grpc::ByteBuffer(&request, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  ASSERT_TRUE(next());
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(response.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  EXPECT_THAT(text, HasSubstr("byrnie.ca.v1.CertificateAuthority"));
  EXPECT_THAT(text, HasSubstr("byrnie.operator.v1.Operator"));
  EXPECT_THAT(text, HasSubstr("envoy.service.discovery.v3.AggregatedDiscoveryService"));
  EXPECT_THAT(text, HasSubstr("grpc.health.v1.Health"));
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
}

}  // namespace
}  // namespace byrnie
