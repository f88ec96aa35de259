// What the control plane's gRPC port takes of whoever can connect, without any proof: requests to
// the health and the reflection service. The first byte chooses.

#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/grpc/reflection_service.h"
#include "controlplane/server/health_service.h"
#include "google/protobuf/stubs/logging.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

constexpr char kHealth = 0;
constexpr char kReflection = 1;

std::string Input(char kind, const std::string& text) { return std::string(1, kind) + text; }

void UseHealth(const std::string& text) {
  HealthService::Request request;
  if (!request.ParseFromString(text)) return;
  const absl::optional<std::string> name = HealthService::TakeName(&request);
  CHECK(!name.has_value() || name->size() <= HealthService::kMaxNameBytes);
  CHECK(request.ByteSizeLong() == 0);
}

void UseReflection(const std::string& text) {
  static const ReflectionService* const service = new ReflectionService(nullptr);
  ReflectionService::Request request;
  if (!request.ParseFromString(text)) return;
  const ReflectionService::Response response = service->Answer(request);
  // Every request has one answer.
  CHECK(response.message_response_case() != ReflectionService::Response::MESSAGE_RESPONSE_NOT_SET ||
        request.has_list_services());
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  HealthService::Request health;
  health.set_service("byrnie.ca.v1.CertificateAuthority");
  std::vector<std::string> seeds = {Input(kHealth, ""), Input(kHealth, health.SerializeAsString())};
  health.set_service(std::string(HealthService::kMaxNameBytes + 1, 'a'));
  seeds.push_back(Input(kHealth, health.SerializeAsString()));
  ReflectionService::Request request;
  const auto add = [&] { seeds.push_back(Input(kReflection, request.SerializeAsString())); };
  add();
  request.set_host("host");
  request.set_list_services("*");
  add();
  request.set_file_by_filename("grpc/reflection/v1alpha/reflection.proto");
  add();
  request.set_file_containing_symbol("grpc.reflection.v1alpha.ServerReflection");
  add();
  request.set_all_extension_numbers_of_type("google.protobuf.FileOptions");
  add();
  request.mutable_file_containing_extension()->set_containing_type("google.protobuf.FileOptions");
  request.mutable_file_containing_extension()->set_extension_number(1000);
  add();
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It says of every text that is not UTF-8 that it is none.
  static google::protobuf::LogHandler* const before = google::protobuf::SetLogHandler(nullptr);
  (void)before;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == byrnie::kHealth) byrnie::UseHealth(text);
  if (data[0] == byrnie::kReflection) byrnie::UseReflection(text);
  return 0;
}
