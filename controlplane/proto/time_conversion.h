#ifndef BYRNIE_CONTROLPLANE_PROTO_TIME_CONVERSION_H_
#define BYRNIE_CONTROLPLANE_PROTO_TIME_CONVERSION_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace byrnie {

// Times and durations of messages, as google/protobuf/duration.proto and timestamp.proto define
// them.

void ToProto(absl::Time time, google::protobuf::Timestamp* out);
void ToProto(absl::Duration duration, google::protobuf::Duration* out);
// What is outside the message's range is the nearest time in it.
absl::Time FromProto(const google::protobuf::Timestamp& time);
// InvalidArgument when the message is outside its defined range.
absl::StatusOr<absl::Duration> FromProto(const google::protobuf::Duration& duration);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_PROTO_TIME_CONVERSION_H_
