// The services behind their socket, and real clients.

#include "certagent/workload_api/workload_api.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/grpc/status_conversion.h"
#include "common/identity/jwt_svid.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "spiffe/workload/workload.grpc.pb.h"

namespace byrnie {
namespace {

using envoy::service::secret::v3::SecretDiscoveryService;
using ::testing::HasSubstr;

constexpr char kId[] = "spiffe://td/app";

class FakeIssuer final : public JwtIssuer {
 public:
  explicit FakeIssuer(EventLoop* loop) : loop_(loop) {}
  std::shared_ptr<const PrivateKey> key = *PrivateKey::Generate();
  bool silent = false;
  // Calls that wait, because it is silent.
  size_t keeps() const { return kept_.size(); }

  void Issue(const std::vector<std::string>& audience, Callback done) override {
    std::string token = *SignJwtSvid(*SpiffeId::Parse(kId), audience, loop_->WallNow(),
                                     loop_->WallNow() + absl::Minutes(5), "k1", *key);
    if (silent) return kept_.push_back(std::move(done));
    done(SecretBytes::TakeFrom(&token));
  }

 private:
  EventLoop* const loop_;  // Not owned.
  std::vector<Callback> kept_;
};

class WorkloadApiTest : public ::testing::Test {
 protected:
  WorkloadApiTest() {
    // Socket paths are short, test directories need not be.
    char directory[] = "/tmp/byrnie-workload-XXXXXX";
    EXPECT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    Start({});
  }
  ~WorkloadApiTest() override {
    api_ = nullptr;
    rmdir(directory_.c_str());
  }

  void Start(WorkloadListener::Options options) {
    api_ = nullptr;
    options.path = absl::StrCat(directory_, "/s");
    auto api = WorkloadApi::Create(&loop_, options, &issuer_, loop_.clock(), &metrics_, &log_);
    ASSERT_THAT(api, IsOk());
    api_ = *std::move(api);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // What nobody reads fills a window of 64 KiB, whatever the library makes of the path.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("unix://", options.path),
                                         grpc::InsecureChannelCredentials(), arguments);
    workload_ = SpiffeWorkloadAPI::NewStub(channel_);
    secrets_ = SecretDiscoveryService::NewStub(channel_);
  }

  void Publish(bool federated = false) {
    identity_ = ca_.IssueSvid("/app");
    TrustBundleMap bundles;
    bundles["td"].roots = {ca_.root()};
    bundles["td"].jwt_keys = {{"k1", *PublicKey::FromDer(issuer_.key->PublicKeyDer()),
                               loop_.WallNow() + absl::Hours(24)}};
    if (federated) bundles["other"].roots = {other_.root()};
    api_->Publish(
        *IdentitySnapshot::Create(++generation_, identity_.chain,
                                  *TrustBundleSet::Create(std::move(bundles)), loop_.WallNow()),
        identity_.key);
  }

  static std::unique_ptr<grpc::ClientContext> Context(const char* header = "true") {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (header != nullptr) context->AddMetadata("workload.spiffe.io", header);
    return context;
  }

  // Runs `client` on a thread of its own and the loop on this one until it is done.
  template <typename Client>
  void Run(Client client) {
    std::atomic<bool> done{false};
    std::thread thread([&] {
      client();
      done = true;
      loop_.Post([] {});
    });
    EXPECT_TRUE(loop_.RunUntil([&] { return done.load(); }));
    thread.join();
  }

  // The first message of a stream, or its status.
  absl::StatusOr<X509SVIDResponse> FetchOnce(const char* header = "true") {
    absl::StatusOr<X509SVIDResponse> result = absl::InternalError("nothing");
    Run([&] {
      auto context = Context(header);
      auto stream = workload_->FetchX509SVID(context.get(), X509SVIDRequest());
      X509SVIDResponse response;
      if (stream->Read(&response)) {
        result = response;
        context->TryCancel();
        stream->Finish();
      } else {
        result = FromGrpcStatus(stream->Finish());
      }
    });
    return result;
  }
  grpc::Status FetchToken(const JWTSVIDRequest& request, JWTSVIDResponse* response) {
    grpc::Status status;
    Run([&] { status = workload_->FetchJWTSVID(Context().get(), request, response); });
    return status;
  }
  grpc::Status Validate(absl::string_view audience, absl::string_view token,
                        ValidateJWTSVIDResponse* response) {
    ValidateJWTSVIDRequest request;
    request.set_audience(std::string(audience));
    request.set_svid(std::string(token));
    grpc::Status status;
    Run([&] { status = workload_->ValidateJWTSVID(Context().get(), request, response); });
    return status;
  }

  ManualEventLoop loop_;
  const TestCa ca_{"td", loop_.WallNow()}, other_{"other", loop_.WallNow()};
  TestIdentity identity_;
  MetricRegistry registry_;
  WorkloadMetrics metrics_{&registry_};
  Logger log_{2, Logger::Format::kText, LogLevel::kError};
  FakeIssuer issuer_{&loop_};
  uint64_t generation_ = 0;
  std::string directory_;
  std::unique_ptr<WorkloadApi> api_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<SpiffeWorkloadAPI::Stub> workload_;
  std::unique_ptr<SecretDiscoveryService::Stub> secrets_;
};

TEST_F(WorkloadApiTest, IsUnavailableBeforeTheFirstCertificate) {
  EXPECT_THAT(FetchOnce(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(WorkloadApiTest, WantsTheSecurityHeaderToTheLetter) {
  Publish();
  for (const char* header : {static_cast<const char*>(nullptr), "True", "1", ""}) {
    EXPECT_THAT(FetchOnce(header),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("workload.spiffe.io")));
  }
  EXPECT_THAT(FetchOnce(), IsOk());
}

TEST_F(WorkloadApiTest, GivesTheSvidItsKeyAndTheBundles) {
  Publish(/*federated=*/true);
  absl::StatusOr<X509SVIDResponse> response = FetchOnce();
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->svids_size(), 1);
  const X509SVID& svid = response->svids(0);
  EXPECT_EQ(svid.spiffe_id(), kId);
  EXPECT_EQ(svid.x509_svid(), identity_.chain[0]->der());
  EXPECT_EQ(svid.x509_svid_key(), identity_.key->ToPkcs8().view());
  EXPECT_EQ(svid.bundle(), ca_.root()->der());
  ASSERT_EQ(response->federated_bundles_size(), 1);
  EXPECT_EQ(response->federated_bundles().at("spiffe://other"), other_.root()->der());
}

TEST_F(WorkloadApiTest, GivesNoCertificateThatHasEnded) {
  Publish();
  loop_.AdvanceTime(absl::Hours(2));
  EXPECT_THAT(FetchOnce(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("expired")));
}

TEST_F(WorkloadApiTest, AStreamGetsEveryStateOrTheNewest) {
  Publish();
  auto context = Context();
  auto bundle_context = Context();
  std::unique_ptr<grpc::ClientReader<X509SVIDResponse>> stream;
  std::unique_ptr<grpc::ClientReader<X509BundlesResponse>> bundles;
  X509SVIDResponse response;
  X509BundlesResponse roots;
  Run([&] {
    stream = workload_->FetchX509SVID(context.get(), X509SVIDRequest());
    EXPECT_TRUE(stream->Read(&response));
    bundles = workload_->FetchX509Bundles(bundle_context.get(), X509BundlesRequest());
    EXPECT_TRUE(bundles->Read(&roots));
  });
  EXPECT_EQ(metrics_.streams->value(), 2);
  EXPECT_EQ(roots.bundles_size(), 1);
  Publish();
  Run([&] { EXPECT_TRUE(stream->Read(&response)); });
  EXPECT_EQ(response.svids(0).x509_svid(), identity_.chain[0]->der());
  EXPECT_EQ(response.federated_bundles_size(), 0);
  // Nobody reads: what lies between the first few and the last is never made.
  for (int i = 0; i < 2000; ++i) Publish(/*federated=*/true);
  int read = 0;
  Run([&] {
    while (response.svids(0).x509_svid() != identity_.chain[0]->der() && stream->Read(&response)) {
      ++read;
    }
  });
  EXPECT_EQ(response.svids(0).x509_svid_key(), identity_.key->ToPkcs8().view());
  EXPECT_LT(read, 1000);
  Run([&] {
    while (roots.bundles_size() != 2 && bundles->Read(&roots)) {
    }
  });
  EXPECT_EQ(roots.bundles().at("spiffe://other"), other_.root()->der());
  api_ = nullptr;
  while (stream->Read(&response)) {
  }
  EXPECT_THAT(FromGrpcStatus(stream->Finish()), StatusIs(absl::StatusCode::kUnavailable));
  while (bundles->Read(&roots)) {
  }
  EXPECT_FALSE(bundles->Finish().ok());
  EXPECT_EQ(metrics_.streams->value(), 0);
}

TEST_F(WorkloadApiTest, GivesATokenThatItValidatesItself) {
  Publish();
  JWTSVIDRequest request;
  request.add_audience("db");
  JWTSVIDResponse response;
  ASSERT_TRUE(FetchToken(request, &response).ok());
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).spiffe_id(), kId);
  ValidateJWTSVIDResponse validated;
  ASSERT_TRUE(Validate("db", response.svids(0).svid(), &validated).ok());
  EXPECT_EQ(validated.spiffe_id(), kId);
  EXPECT_EQ(validated.claims().fields().at("sub").string_value(), kId);
  EXPECT_EQ(validated.claims().fields().at("aud").list_value().values(0).string_value(), "db");
  EXPECT_GT(validated.claims().fields().at("exp").number_value(), 1e9);
  EXPECT_EQ(Validate("mail", response.svids(0).svid(), &validated).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Validate("db", "a.b.c", &validated).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Validate("", "", &validated).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WorkloadApiTest, RefusesTokensThatAreNotTheWorkloads) {
  Publish();
  JWTSVIDRequest request;
  JWTSVIDResponse response;
  EXPECT_EQ(FetchToken(request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.add_audience("db");
  request.set_spiffe_id("spiffe://td/somebody-else");
  EXPECT_EQ(FetchToken(request, &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  request.set_spiffe_id(kId);
  EXPECT_TRUE(FetchToken(request, &response).ok());
}

TEST_F(WorkloadApiTest, GivesTheKeysOfTokensAsAKeySet) {
  Publish(/*federated=*/true);
  JWTBundlesResponse response;
  Run([&] {
    auto context = Context();
    auto stream = workload_->FetchJWTBundles(context.get(), JWTBundlesRequest());
    EXPECT_TRUE(stream->Read(&response));
    context->TryCancel();
    stream->Finish();
  });
  ASSERT_EQ(response.bundles_size(), 2);
  EXPECT_EQ(response.bundles().at("spiffe://other"), R"({"keys":[]})");
  const std::string& keys = response.bundles().at("spiffe://td");
  EXPECT_THAT(keys, HasSubstr(R"({"keys":[{"kty":"EC","use":"jwt-svid","kid":"k1","crv":"P-256")"));
}

TEST_F(WorkloadApiTest, ACallThatWaitsIsAnsweredWhenTheAgentEnds) {
  Publish();
  issuer_.silent = true;
  grpc::Status status;
  std::thread caller([&] {
    JWTSVIDRequest request;
    request.add_audience("db");
    JWTSVIDResponse response;
    status = workload_->FetchJWTSVID(Context().get(), request, &response);
  });
  EXPECT_TRUE(loop_.RunUntil([&] { return issuer_.keeps() == 1; }));
  api_ = nullptr;
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(WorkloadApiTest, ServesSecretsOnTheSameSocketWithoutTheHeader) {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<SecretService::Request, SecretService::Response>> stream;
  SecretService::Response response;
  SecretService::Request request;
  request.add_resource_names("default");
  Run([&] {
    stream = secrets_->StreamSecrets(&context);
    EXPECT_TRUE(stream->Write(request));
  });
  // A stream may come before the first certificate.
  Publish();
  Run([&] { EXPECT_TRUE(stream->Read(&response)); });
  EXPECT_EQ(response.resources_size(), 1);
  const std::string first = response.version_info();
  request.set_response_nonce(response.nonce());
  request.mutable_error_detail()->set_message("no good");
  Run([&] { EXPECT_TRUE(stream->Write(request)); });
  EXPECT_TRUE(loop_.RunUntil([&] {
    loop_.Post([] {});
    return metrics_.secrets_rejected->value() == 1;
  }));
  Publish();
  Run([&] {
    EXPECT_TRUE(stream->Read(&response));
    EXPECT_NE(response.version_info(), first);
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    grpc::ClientContext once;
    SecretService::Request ask;
    ask.add_resource_names("ROOTCA");
    EXPECT_TRUE(secrets_->FetchSecrets(&once, ask, &response).ok());
    EXPECT_EQ(response.resources_size(), 1);
  });
}

TEST_F(WorkloadApiTest, ManyStreamsOfReflectionHoldUpNobody) {
  using grpc::reflection::v1alpha::ServerReflection;
  Publish();
  Run([&] {
    auto stub = ServerReflection::NewStub(channel_);
    grpc::reflection::v1alpha::ServerReflectionRequest request;
    request.set_list_services("*");
    grpc::reflection::v1alpha::ServerReflectionResponse response;
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<decltype(stub->ServerReflectionInfo(nullptr))> streams;
    for (size_t i = 0; i < WorkloadApi::kMaxReflections; ++i) {
      contexts.push_back(Context());
      streams.push_back(stub->ServerReflectionInfo(contexts.back().get()));
      ASSERT_TRUE(streams.back()->Write(request));
      ASSERT_TRUE(streams.back()->Read(&response));
    }
    // Of reflection there are two versions.
    EXPECT_EQ(response.list_services_response().service_size(), 4);
    auto context = Context();
    EXPECT_EQ(stub->ServerReflectionInfo(context.get())->Finish().error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
    context = Context();
    X509SVIDResponse svid;
    auto fetch = workload_->FetchX509SVID(context.get(), X509SVIDRequest());
    EXPECT_TRUE(fetch->Read(&svid));
    context->TryCancel();
    fetch->Finish();
    for (auto& stream : streams) {
      stream->WritesDone();
      EXPECT_TRUE(stream->Finish().ok());
    }
  });
}

TEST_F(WorkloadApiTest, ToldThatItHasNoIdentityWhoIsNotAllowed) {
  WorkloadListener::Options options;
  options.uids = {geteuid() + 1};
  Start(options);
  Publish();
  EXPECT_THAT(FetchOnce(), StatusIs(absl::StatusCode::kPermissionDenied));
  Run([&] {
    SecretService::Request ask;
    SecretService::Response response;
    grpc::ClientContext context;
    EXPECT_EQ(secrets_->FetchSecrets(&context, ask, &response).error_code(),
              grpc::StatusCode::PERMISSION_DENIED);
  });
  EXPECT_GE(metrics_.refused_uid->value(), 1u);
  EXPECT_EQ(metrics_.accepted->value(), 0u);
}

TEST_F(WorkloadApiTest, ItsSocketIsItsOwnUsersUnlessOthersAreAllowed) {
  struct stat info;
  ASSERT_EQ(stat(absl::StrCat(directory_, "/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  WorkloadListener::Options options;
  options.any_uid = true;
  Start(options);
  ASSERT_EQ(stat(absl::StrCat(directory_, "/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0666u);
  Publish();
  EXPECT_THAT(FetchOnce(), IsOk());
}

TEST_F(WorkloadApiTest, ForgetsConnectionsThatEndAndLimitsTheOthers) {
  WorkloadListener::Options options;
  options.max_connections_per_uid = 3;
  Start(options);
  Publish();
  for (int i = 0; i < 20; ++i) {
    Start(options);
    Publish();
    EXPECT_THAT(FetchOnce(), IsOk());
    channel_ = nullptr;
    workload_ = nullptr;
    secrets_ = nullptr;
    EXPECT_TRUE(loop_.RunUntil([&] { return metrics_.connections->value() == 0; }));
  }
  std::vector<std::unique_ptr<TcpStream>> idle;
  for (int i = 0; i < 5; ++i) {
    auto connection = ConnectUnix(&loop_, absl::StrCat(directory_, "/s"));
    ASSERT_THAT(connection, IsOk());
    idle.push_back(*std::move(connection));
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return metrics_.refused_limit->value() == 2; }));
  EXPECT_EQ(metrics_.connections->value(), 3);
  idle.clear();
  EXPECT_TRUE(loop_.RunUntil([&] { return metrics_.connections->value() == 0; }));
}

}  // namespace
}  // namespace byrnie
