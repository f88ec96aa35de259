#ifndef BYRNIE_COMMON_PROBE_GRPC_HEALTH_H_
#define BYRNIE_COMMON_PROBE_GRPC_HEALTH_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// The messages of gRPC's health checking protocol, grpc.health.v1, with the five bytes before each
// that gRPC has in HTTP/2's DATA.

inline constexpr absl::string_view kGrpcHealthPath = "/grpc.health.v1.Health/Check";

// HealthCheckRequest; an empty `service` asks for the server as a whole.
std::string GrpcHealthRequest(absl::string_view service);

// Reads a HealthCheckResponse. FailedPrecondition, with its word for it, when it says anything but
// SERVING; InvalidArgument for what is no such message.
absl::Status CheckGrpcHealthResponse(absl::string_view body);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_PROBE_GRPC_HEALTH_H_
