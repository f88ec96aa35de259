#include "common/grpc/reflection_service.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.pb.h"
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

}  // namespace
}  // namespace byrnie
