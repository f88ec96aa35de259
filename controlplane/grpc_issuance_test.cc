// Who gets a certificate or a token from a real gRPC server, and who does not.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "common/crypto/csr.h"
#include "common/crypto/pem.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/grpc/status_conversion.h"
#include "common/identity/jwt_svid.h"
#include "controlplane/testing/grpc_services.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "istio/v1/auth/ca.grpc.pb.h"

namespace byrnie {
namespace {

using byrnie::ca::v1::CertificateAuthority;
using byrnie::ca::v1::IssueRequest;
using byrnie::ca::v1::IssueResponse;
using ::testing::HasSubstr;

class GrpcIssuanceTest : public GrpcServices {};

std::string IssuedId(const IssueResponse& response) {
  auto leaf = Certificate::FromDer(response.certificate_chain(0));
  return leaf.ok() && (*leaf)->uri_sans().size() == 1 ? (*leaf)->uri_sans()[0] : "";
}

TEST_F(GrpcIssuanceTest, ATokenGivesItsIdentityWhateverTheCsrSaysAndOnlyOnce) {
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

TEST_F(GrpcIssuanceTest, OfAHundredParallelUsesOfATokenExactlyOneGetsACertificate) {
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

// So that neither is there without the other.
TEST_F(GrpcIssuanceTest, ATokenIsUsedUpInOneCommitWithItsEntryInTheLog) {
  const std::string token = Token();
  const auto commit = [this] { return *store_.Commit(StoreTransaction().Put("mark", "")); };
  const int64_t before = commit();
  IssueResponse response;
  const grpc::Status status = Issue(*Channel(), *key_, kId, token, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(commit(), before + 2);
  const auto logged = log_.Read({});
  ASSERT_THAT(logged, IsOk());
  ASSERT_EQ(logged->records.size(), 1u);
  EXPECT_EQ(logged->records[0].proof, "join_token");
}

TEST_F(GrpcIssuanceTest, TheOperatorLearnsHowAnIdentityWasProvenAndWhyNot) {
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
  // With a certificate that ends first: the one shown would count as the latest, with no proof
  // known.
  const ControlPlaneClientIdentity earlier = Client(kId, absl::Minutes(30));
  grpc::ClientContext context;
  auto stream = CertificateAuthority::NewStub(*Channel(earlier))->WatchTrustBundles(&context);
  byrnie::ca::v1::WatchTrustBundlesResponse bundles;
  ASSERT_TRUE(stream->Read(&bundles));
  ASSERT_EQ(agents_.List().size(), 1u);
  EXPECT_EQ(agents_.List()[0].certificate_proof, "join_token");
  ASSERT_TRUE(Issue(*Channel(Client()), *key_, "", "", &response).ok());
  EXPECT_EQ(agents_.List()[0].certificate_proof, "svid");
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcIssuanceTest, AJwtSvidIsOfTheClientCertificatesIdentity) {
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

// Else the queue before the threads, which certificates share, grows with every JWT-SVID.
TEST_F(GrpcIssuanceTest, AJwtSvidThatHasWaitedForLongIsToComeBack) {
  const int busy = static_cast<int>(threads_.max_threads());
  absl::BlockingCounter started(busy);
  absl::Notification done;
  for (int i = 0; i < busy; ++i) {
    threads_.Run("others", {[&] {
                              started.DecrementCount();
                              done.WaitForNotification();
                            },
                            [] {}});
  }
  started.Wait();
  auto stub = CertificateAuthority::NewStub(*Channel(Client()));
  byrnie::ca::v1::IssueJwtSvidRequest request;
  request.add_audience("db");
  byrnie::ca::v1::IssueJwtSvidResponse response;
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    status = stub->IssueJwtSvid(&context, request, &response);
  });
  while (threads_.waiting() == 0) std::this_thread::yield();
  clock_.Skip(absl::Seconds(2));
  done.Notify();
  caller.join();
  const absl::Status refused = FromGrpcStatus(status);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("has waited 2")));
  EXPECT_NE(RetryAfter(refused), absl::nullopt);
  grpc::ClientContext later;
  EXPECT_TRUE(stub->IssueJwtSvid(&later, request, &response).ok());
}

// An authority that gives one of each, and the next a day later.
class ThrottledEndToEndTest : public GrpcServices {
 protected:
  // Whatever the rate, so many come at once.
  static constexpr int kAtOnce = 4;
  ThrottledEndToEndTest() : GrpcServices(/*issue_rate=*/1e-5) {}
};

TEST_F(ThrottledEndToEndTest, JwtSvidsAreLimitedBesideCertificatesNotWithThem) {
  auto channel = Channel(Client());
  ASSERT_THAT(channel, IsOk());
  auto stub = CertificateAuthority::NewStub(*channel);
  byrnie::ca::v1::IssueJwtSvidRequest request;
  request.add_audience("db");
  std::vector<grpc::StatusCode> codes;
  for (int i = 0; i < 5; ++i) {
    byrnie::ca::v1::IssueJwtSvidResponse response;
    grpc::ClientContext context;
    codes.push_back(stub->IssueJwtSvid(&context, request, &response).error_code());
  }
  // The last one of those that come at once is for who has a certificate that ends soon.
  EXPECT_EQ(codes.front(), grpc::StatusCode::OK);
  EXPECT_EQ(codes.back(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  IssueResponse issued;
  EXPECT_TRUE(Issue(*channel, *key_, "", "", &issued).ok());
  for (int i = 1; i < kAtOnce; ++i) (void)Issue(*channel, *key_, "", "", &issued);
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
  for (int i = 1; i < kAtOnce; ++i) {
    grpc::ClientContext context;
    istio::v1::auth::IstioCertificateResponse next;
    (void)stub->CreateCertificate(&context, request, &next);
  }
  ASSERT_EQ(response.cert_chain_size(), 2);
  EXPECT_EQ(response.cert_chain(1), authority_->root()->ToPem());
  const absl::Status throttled =
      FromGrpcStatus(stub->CreateCertificate(&second, request, &response));
  EXPECT_THAT(throttled, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_NE(RetryAfter(throttled), absl::nullopt);
}

TEST_F(GrpcIssuanceTest, NoJwtSvidWithoutACertificateNorForTheMeshItself) {
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

TEST_F(GrpcIssuanceTest, ATokenWhoseIssueFailsStaysUsable) {
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

TEST_F(GrpcIssuanceTest, ACertificateRenewsItselfAndNothingElse) {
  auto channel = Channel(Client());
  ASSERT_THAT(channel, IsOk());
  IssueResponse response;
  const grpc::Status status =
      Issue(*channel, *key_, "spiffe://cluster.local/ns/other/sa/other", "", &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(IssuedId(response), kId);
}

TEST_F(GrpcIssuanceTest, TheControlPlanesOwnIdentityIsNotGivenAway) {
  IssueResponse response;
  EXPECT_EQ(Issue(*Channel(Client("spiffe://cluster.local/byrnie/controlplane")), *key_, kId, "",
                  &response)
                .error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(GrpcIssuanceTest, WithoutAnyProofNothingIsIssued) {
  IssueResponse response;
  EXPECT_EQ(Issue(*Channel(), *key_, kId, "", &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcIssuanceTest, AClientOfAnotherAuthorityIsRefused) {
  const auto other =
      std::make_unique<Authority>(SelfSigned("cluster.local", clock_.WallNow()), &clock_);
  auto issued =
      other->Issue(*SpiffeId::Parse(kId), key_->PublicKeyDer(), absl::nullopt, absl::Hours(1));
  IssueResponse response;
  EXPECT_FALSE(
      Issue(*Channel(ControlPlaneClientIdentity{issued->chain, key_}), *key_, kId, "", &response)
          .ok());
}

TEST_F(GrpcIssuanceTest, AClientRefusesAServerThatIsNotTheControlPlane) {
  ControlPlaneChannelOptions options;
  options.target = server_->address().ToString();
  options.trust_domain = "other.org";
  options.trust_bundle_pem = authority_->root()->ToPem();
  IssueResponse response;
  EXPECT_EQ(Issue(*CreateControlPlaneChannel(options), *key_, kId, Token(), &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcIssuanceTest, PlaintextIsRefused) {
  auto channel =
      grpc::CreateChannel(server_->address().ToString(), grpc::InsecureChannelCredentials());
  IssueResponse response;
  EXPECT_EQ(Issue(channel, *key_, kId, Token(), &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcIssuanceTest, TheServersCertificateRotatesWithoutARestart) {
  IssueResponse response;
  ASSERT_TRUE(Issue(*Channel(), *key_, kId, Token(), &response).ok());
  const std::string before = identity_->current()->serial;
  ASSERT_THAT(identity_->Rotate(), IsOk());
  EXPECT_NE(identity_->current()->serial, before);
  EXPECT_TRUE(Issue(*Channel(), *key_, kId, Token(), &response).ok());
}

}  // namespace
}  // namespace byrnie
