#ifndef BYRNIE_CONTROLPLANE_OPERATOR_READ_MASK_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_READ_MASK_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/grpc/error_details.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/util/field_mask_util.h"

namespace byrnie {

// InvalidArgument, with the path, when a mask names a field that Message does not have, or none: an
// empty path would be all of them.
template <typename Message>
absl::Status CheckReadMask(const google::protobuf::FieldMask& mask) {
  for (const auto& path : mask.paths()) {
    if (path.empty()) {
      return InvalidField("read_mask", "a path is empty; leave read_mask out to have all fields");
    }
    if (!google::protobuf::util::FieldMaskUtil::IsValidPath<Message>(path)) {
      return InvalidField("read_mask", absl::StrCat("there is no field \"", path, "\" in ",
                                                    Message::descriptor()->name()));
    }
  }
  return absl::OkStatus();
}

// Leaves of `message` what a mask, which CheckReadMask() found good, names; an empty one names all.
template <typename Message>
void ApplyReadMask(const google::protobuf::FieldMask& mask, Message* message) {
  if (mask.paths().empty()) return;
  google::protobuf::util::FieldMaskUtil::TrimMessage(mask, message);
}

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_READ_MASK_H_
