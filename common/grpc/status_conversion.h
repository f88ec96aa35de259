#ifndef BYRNIE_COMMON_GRPC_STATUS_CONVERSION_H_
#define BYRNIE_COMMON_GRPC_STATUS_CONVERSION_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace byrnie {

// Trailing metadata with which our control plane marks an error of its own, so that its UNAVAILABLE
// can be told from gRPC's, which means that nobody has answered.
inline constexpr char kOwnAnswerKey[] = "byrnie-answer";

// The same code and message; the two sets of codes are one by definition.
absl::Status FromGrpcStatus(const grpc::Status& status);
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_STATUS_CONVERSION_H_
