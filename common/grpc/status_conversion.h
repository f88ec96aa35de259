#ifndef BYRNIE_COMMON_GRPC_STATUS_CONVERSION_H_
#define BYRNIE_COMMON_GRPC_STATUS_CONVERSION_H_

#include "absl/status/status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"

namespace byrnie {

// Trailing metadata with which our control plane marks an error of its own, so that its UNAVAILABLE
// can be told from gRPC's, which means that nobody has answered.
inline constexpr char kOwnAnswerKey[] = "byrnie-answer";

// The same code and message; the two sets of codes are one by definition. When it is worth trying
// again (google.rpc.RetryInfo in the details) becomes RetryAfter of the error, and back. Details of
// error_details.h go out with an error; what comes in is left out, because errors are printed with
// all they carry: AddDetails() is for who wants to see it.
absl::Status FromGrpcStatus(const grpc::Status& status);
grpc::Status ToGrpcStatus(const absl::Status& status);

// Adds what error_details.h knows of the details of `from`.
void AddDetails(const grpc::Status& from, absl::Status* to);

// The same for a call that is over, whose server may also have said so in the trailing metadata
// "retry-after", in seconds, as proxies in front of a server do. RetryInfo counts where there are
// both.
absl::Status FromGrpcCall(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_STATUS_CONVERSION_H_
