// What agents and strangers keep open at a real gRPC server, and what agents report to it.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/testing/grpc_services.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using byrnie::ca::v1::CertificateAuthority;
using envoy::service::discovery::v3::AggregatedDiscoveryService;
using ::testing::HasSubstr;

class GrpcStreamsTest : public GrpcServices {};

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

TEST_F(GrpcStreamsTest, AFlowIsOfWhoeverReportsIt) {
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

TEST_F(GrpcStreamsTest, NobodyReportsFlowsOfAnother) {
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

TEST_F(GrpcStreamsTest, DiscoveryNeedsACertificateAndPushesChanges) {
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

TEST_F(GrpcStreamsTest, TrustBundlesAreSentAtOnceAndAcknowledged) {
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

TEST_F(GrpcStreamsTest, AnEndingServerEndsItsStreams) {
  grpc::ClientContext context;
  auto stream = CertificateAuthority::NewStub(*Channel(Client()))->WatchTrustBundles(&context);
  byrnie::ca::v1::WatchTrustBundlesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ca_->streams()->EndAll(absl::UnavailableError("shutting down"));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcStreamsTest, TheStandardHealthServiceSaysServing) {
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(grpc::health::v1::Health::NewStub(*Channel())->Check(&context, {}, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(GrpcStreamsTest, AnEndingServerSaysSoToWhoWatchesItsHealth) {
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

TEST_F(GrpcStreamsTest, ManyStreamsOfAStrangerAreRefusedAndThoseOfAnAgentAreNot) {
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

// One stolen certificate does not take the memory of all, over however many connections.
TEST_F(GrpcStreamsTest, StreamsOfOneIdentityFindAnEnd) {
  constexpr size_t kOfConnection = 64;
  const auto open = [this](absl::string_view id) {
    return CertificateAuthority::NewStub(*Channel(Client(id)));
  };
  byrnie::ca::v1::WatchTrustBundlesResponse response;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::unique_ptr<CertificateAuthority::Stub> stub;
  std::vector<decltype(stub->WatchTrustBundles(nullptr))> streams;
  for (size_t i = 0; i < IdentityStreams::kOfOneIdentity; ++i) {
    if (i % kOfConnection == 0) stub = open(kId);
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub->WatchTrustBundles(contexts.back().get()));
    ASSERT_TRUE(streams.back()->Read(&response)) << i;
  }
  {
    grpc::ClientContext context;
    auto refused = open(kId)->WatchTrustBundles(&context);
    EXPECT_FALSE(refused->Read(&response));
    const grpc::Status status = refused->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(RetryAfter(FromGrpcStatus(status)), IdentityStreams::kRetryAfter);
  }
  {
    grpc::ClientContext context;
    auto other = open("spiffe://cluster.local/ns/demo/sa/other")->WatchTrustBundles(&context);
    EXPECT_TRUE(other->Read(&response));
    other->WritesDone();
    EXPECT_TRUE(other->Finish().ok());
  }
  for (const auto& stream : streams) {
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
  grpc::ClientContext context;
  auto again = open(kId)->WatchTrustBundles(&context);
  EXPECT_TRUE(again->Read(&response));
  again->WritesDone();
  EXPECT_TRUE(again->Finish().ok());
}

// By both names of that service.
class ReflectionTest : public GrpcStreamsTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Versions, ReflectionTest, ::testing::Values("v1alpha", "v1"));

TEST_P(ReflectionTest, ListsTheServices) {
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
      &context,
      absl::StrCat("/grpc.reflection.", GetParam(), ".ServerReflection/ServerReflectionInfo"),
      &queue);
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
  EXPECT_THAT(text, HasSubstr("grpc.reflection.v1.ServerReflection"));
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
}

}  // namespace
}  // namespace byrnie
