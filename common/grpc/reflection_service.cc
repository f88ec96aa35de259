#include "common/grpc/reflection_service.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/grpc/push_stream.h"
#include "common/grpc/status_conversion.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/impl/server_initializer.h"

namespace byrnie {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1alpha::FileDescriptorResponse;

// What is asked for first, then what it needs, each once.
void AddFile(const FileDescriptor* file, absl::flat_hash_set<const FileDescriptor*>* added,
             FileDescriptorResponse* out) {
  if (!added->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  out->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), added, out);
}

const FileDescriptor* FindFile(const ReflectionService::Request& request) {
  const DescriptorPool* const pool = DescriptorPool::generated_pool();
  if (request.has_file_by_filename()) return pool->FindFileByName(request.file_by_filename());
  if (request.has_file_containing_symbol()) {
    return pool->FindFileContainingSymbol(request.file_containing_symbol());
  }
  const auto& wanted = request.file_containing_extension();
  const auto* const type = pool->FindMessageTypeByName(wanted.containing_type());
  if (type == nullptr) return nullptr;
  const auto* const extension = pool->FindExtensionByNumber(type, wanted.extension_number());
  return extension == nullptr ? nullptr : extension->file();
}

void SetError(grpc::StatusCode code, const char* message, ReflectionService::Response* response) {
  response->mutable_error_response()->set_error_code(code);
  response->mutable_error_response()->set_error_message(message);
}

// The same under the name that newer tools ask for first. Messages of the two versions have the
// same bytes (api/grpc/reflection), so that those of one serve both.
class ReflectionV1 final : public grpc::Service {
 public:
  // `service` outlives it.
  explicit ReflectionV1(ReflectionService* service) {
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodCallback(0, new grpc::internal::CallbackBidiHandler<ReflectionService::Request,
                                                                  ReflectionService::Response>(
                              [service](grpc::CallbackServerContext* context) {
                                return service->ServerReflectionInfo(context);
                              }));
    // So that its file is linked in, and is found by whoever asks for it.
    (void)grpc::reflection::v1::ServerReflectionRequest::descriptor();
  }
};

// The server tells its plugins which services it has.
class Plugin final : public grpc::ServerBuilderPlugin {
 public:
  explicit Plugin(ReflectionService::Admit admit)
      : service_(std::make_shared<ReflectionService>(std::move(admit))),
        v1_(std::make_shared<ReflectionV1>(service_.get())) {}

  std::string name() override { return "byrnie.reflection"; }
  void InitServer(grpc::ServerInitializer* server) override {
    server->RegisterService(service_);
    server->RegisterService(v1_);
  }
  void Finish(grpc::ServerInitializer* server) override {
    service_->SetServices(*server->GetServiceList());
  }
  void ChangeArguments(const std::string&, void*) override {}

 private:
  // The server's as well.
  const std::shared_ptr<ReflectionService> service_;
  const std::shared_ptr<ReflectionV1> v1_;
};

class Option final : public grpc::ServerBuilderOption {
 public:
  explicit Option(ReflectionService::Admit admit) : admit_(std::move(admit)) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<Plugin>(admit_));
  }

 private:
  const ReflectionService::Admit admit_;
};

}  // namespace

// One thing goes on at any time, a read or a write, and fails when the caller is gone or the server
// ends; that ends the stream.
class ReflectionService::Stream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  Stream(const ReflectionService* service, std::unique_ptr<Places::Place> place)
      : service_(service), place_(std::move(place)) {
    StartRead(&request_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    if (request_.ByteSizeLong() > kMaxRequestBytes) {
      Request().Swap(&request_);  // Whatever becomes of the end: Clear() would keep the memory.
      Finish(ToGrpcStatus(absl::InvalidArgumentError(
          absl::StrCat("a request has at most ", kMaxRequestBytes, " bytes"))));
      return;
    }
    response_ = service_->Answer(request_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::CANCELLED);
      return;
    }
    response_.Clear();
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

  const ReflectionService* const service_;  // Not owned.
  const std::unique_ptr<Places::Place> place_;
  Request request_;
  Response response_;
};

void ReflectionService::AddTo(grpc::ServerBuilder* builder, Admit admit) {
  builder->SetOption(std::make_unique<Option>(std::move(admit)));
}

grpc::ServerBidiReactor<ReflectionService::Request, ReflectionService::Response>*
ReflectionService::ServerReflectionInfo(grpc::CallbackServerContext* context) {
  absl::StatusOr<std::unique_ptr<Places::Place>> place = admit_(*context);
  if (!place.ok()) {
    return new RefusedStream<grpc::ServerBidiReactor<Request, Response>>(place.status());
  }
  return new Stream(this, *std::move(place));
}

ReflectionService::Response ReflectionService::Answer(const Request& request) const {
  Response response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
    case Request::kFileContainingSymbol:
    case Request::kFileContainingExtension: {
      const FileDescriptor* const file = FindFile(request);
      if (file == nullptr) {
        SetError(grpc::StatusCode::NOT_FOUND, "there is no such file or symbol", &response);
        break;
      }
      absl::flat_hash_set<const FileDescriptor*> added;
      AddFile(file, &added, response.mutable_file_descriptor_response());
      break;
    }
    case Request::kAllExtensionNumbersOfType: {
      const std::string& name = request.all_extension_numbers_of_type();
      const DescriptorPool* const pool = DescriptorPool::generated_pool();
      const auto* const type = pool->FindMessageTypeByName(name);
      if (type == nullptr) {
        SetError(grpc::StatusCode::NOT_FOUND, "there is no such message", &response);
        break;
      }
      std::vector<const google::protobuf::FieldDescriptor*> extensions;
      pool->FindAllExtensions(type, &extensions);
      auto* const out = response.mutable_all_extension_numbers_response();
      out->set_base_type_name(name);
      for (const auto* extension : extensions) out->add_extension_number(extension->number());
      break;
    }
    case Request::kListServices:
      for (const std::string& name : services_) {
        response.mutable_list_services_response()->add_service()->set_name(name);
      }
      break;
    case Request::MESSAGE_REQUEST_NOT_SET:
      SetError(grpc::StatusCode::INVALID_ARGUMENT, "nothing is asked", &response);
      break;
  }
  return response;
}

}  // namespace byrnie
