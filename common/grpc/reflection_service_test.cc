#include "common/grpc/reflection_service.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;

constexpr char kFile[] = "grpc/reflection/v1alpha/reflection.proto";

class ReflectionServiceTest : public ::testing::Test {
 protected:
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    const ReflectionService::Response response = service_.Answer(request_);
    for (const std::string& file : response.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto proto;
      EXPECT_TRUE(proto.ParseFromString(file));
      names.push_back(proto.name());
    }
    return names;
  }
  int Error() const { return service_.Answer(request_).error_response().error_code(); }

  // Answers need no admission.
  ReflectionService service_{nullptr};
  ReflectionService::Request request_;
};

TEST_F(ReflectionServiceTest, ListsTheServices) {
  service_.SetServices({"a.B", "c.D"});
  request_.set_host("there");
  request_.set_list_services("*");
  const ReflectionService::Response response = service_.Answer(request_);
  EXPECT_EQ(response.valid_host(), "there");
  EXPECT_EQ(response.original_request().list_services(), "*");
  ASSERT_EQ(response.list_services_response().service_size(), 2);
  EXPECT_EQ(response.list_services_response().service(1).name(), "c.D");
}

TEST_F(ReflectionServiceTest, FindsFilesByNameAndBySymbol) {
  request_.set_file_by_filename(kFile);
  EXPECT_THAT(Files(), ElementsAre(kFile));
  for (const char* symbol :
       {"grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1alpha.ExtensionRequest",
        "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo"}) {
    request_.set_file_containing_symbol(symbol);
    EXPECT_THAT(Files(), ElementsAre(kFile)) << symbol;
  }
}

TEST_F(ReflectionServiceTest, FindsItselfByItsNewerName) {
  request_.set_file_containing_symbol("grpc.reflection.v1.ServerReflection");
  EXPECT_THAT(Files(), ElementsAre("grpc/reflection/v1/reflection.proto"));
}

TEST_F(ReflectionServiceTest, SaysWhatThereIsNot) {
  request_.set_file_by_filename("nothing.proto");
  EXPECT_EQ(Error(), grpc::StatusCode::NOT_FOUND);
  request_.set_file_containing_symbol("nothing.Nowhere");
  EXPECT_EQ(Error(), grpc::StatusCode::NOT_FOUND);
  request_.mutable_file_containing_extension()->set_containing_type("nothing.Nowhere");
  EXPECT_EQ(Error(), grpc::StatusCode::NOT_FOUND);
  request_.mutable_file_containing_extension()->set_containing_type("google.protobuf.FileOptions");
  EXPECT_EQ(Error(), grpc::StatusCode::NOT_FOUND);
  request_.set_all_extension_numbers_of_type("nothing.Nowhere");
  EXPECT_EQ(Error(), grpc::StatusCode::NOT_FOUND);
  request_.Clear();
  EXPECT_EQ(Error(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ReflectionServiceTest, ListsTheExtensionsOfAMessage) {
  request_.set_all_extension_numbers_of_type("google.protobuf.FileOptions");
  const ReflectionService::Response response = service_.Answer(request_);
  EXPECT_EQ(response.all_extension_numbers_response().base_type_name(),
            "google.protobuf.FileOptions");
  EXPECT_FALSE(response.has_error_response());
}

TEST(ReflectionStreamTest, EndsAtARequestThatIsTooLong) {
  Places places(1, 1);
  ReflectionService service(
      [&places](const grpc::CallbackServerContext&) { return places.Take("caller"); });
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub =
      grpc::reflection::v1alpha::ServerReflection::NewStub(server->InProcessChannel({}));
  grpc::ClientContext context;
  const auto stream = stub->ServerReflectionInfo(&context);
  ReflectionService::Request request;
  ReflectionService::Response response;
  request.set_file_containing_symbol(std::string(ReflectionService::kMaxRequestBytes / 2, 'a'));
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_file_containing_symbol(std::string(ReflectionService::kMaxRequestBytes, 'a'));
  ASSERT_TRUE(stream->Write(request));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  server->Shutdown();
  server->Wait();
}

}  // namespace
}  // namespace byrnie
