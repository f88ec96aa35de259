#ifndef BYRNIE_COMMON_GRPC_ERROR_DETAILS_H_
#define BYRNIE_COMMON_GRPC_ERROR_DETAILS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"

namespace byrnie {

// Errors that say for programs, too, what they are about: google.rpc's details travel beside the
// message as payloads of the absl::Status, and over gRPC through ToGrpcStatus() and
// FromGrpcStatus(). Payloads of other processes are data to show, never to act upon.

// InvalidArgument, "FIELD: DESCRIPTION", with a BadRequest.
absl::Status InvalidField(absl::string_view field, absl::string_view description);

// InvalidField() of an error whose message begins with its place within a document that is the
// field `field`: "rules[0].clauses: expected an array" is of "document.rules[0].clauses".
absl::Status InvalidDocument(absl::string_view field, const absl::Status& status);

// NotFound with a ResourceInfo. `type` is one of google/rpc/error_details.proto's.
absl::Status ResourceNotFound(absl::string_view type, absl::string_view name,
                              absl::string_view description);

// FailedPrecondition with a PreconditionFailure of one violation.
absl::Status PreconditionFailed(absl::string_view type, absl::string_view subject,
                                absl::string_view description);

// Adds or replaces a detail of its type.
void SetDetail(absl::Status* status, const google::protobuf::Message& detail);

// Reads a detail; false when the error has none of that type that parses.
bool GetDetail(const absl::Status& status, google::protobuf::Message* detail);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_ERROR_DETAILS_H_
