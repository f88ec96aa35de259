#ifndef BYRNIE_COMMON_GRPC_REFLECTION_SERVICE_H_
#define BYRNIE_COMMON_GRPC_REFLECTION_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/places.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "grpcpp/server_builder.h"

namespace byrnie {

// gRPC's server reflection of all that is linked in, versions v1alpha and v1. The library has a
// service for that, which holds one of the server's threads for every open stream, of whoever opens
// it; this one holds none. A stream reads its next request once its last response is written, so a
// reader who is slow holds one response. Thread-safe.
class ReflectionService final
    : public grpc::reflection::v1alpha::ServerReflection::CallbackService {
 public:
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
  // No request for a file or a name here is longer; one that is ends its stream.
  static constexpr size_t kMaxRequestBytes = 1024;
  // A place for one more stream, or the error with which it is refused. Called on gRPC's threads;
  // what it uses, and the places, outlive the server.
  using Admit = std::function<absl::StatusOr<std::unique_ptr<Places::Place>>(
      const grpc::CallbackServerContext& context)>;

  // Lets the server that `builder` makes reflect all of its services.
  static void AddTo(grpc::ServerBuilder* builder, Admit admit);

  explicit ReflectionService(Admit admit) : admit_(std::move(admit)) {}

  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(
      grpc::CallbackServerContext* context) override;

  // What there is to list. Before the server serves.
  void SetServices(std::vector<std::string> names) { services_ = std::move(names); }
  // One request's response.
  Response Answer(const Request& request) const;

 private:
  class Stream;

  const Admit admit_;
  std::vector<std::string> services_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_REFLECTION_SERVICE_H_
