#include "common/grpc/error_details.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

// As google.protobuf.Any names types.
std::string TypeUrl(const google::protobuf::Message& detail) {
  return absl::StrCat("type.googleapis.com/", detail.GetDescriptor()->full_name());
}

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view description) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", description));
  google::rpc::BadRequest detail;
  auto* violation = detail.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(description));
  SetDetail(&status, detail);
  return status;
}

absl::Status InvalidDocument(absl::string_view field, const absl::Status& status) {
  const absl::string_view message = status.message();
  const size_t colon = message.find(": ");
  const absl::string_view place = message.substr(0, colon);
  if (colon == message.npos || absl::StrContains(place, ' ')) return InvalidField(field, message);
  return InvalidField(absl::StrCat(field, ".", place), message.substr(colon + 2));
}

absl::Status ResourceNotFound(absl::string_view type, absl::string_view name,
                              absl::string_view description) {
  absl::Status status = absl::NotFoundError(description);
  google::rpc::ResourceInfo detail;
  detail.set_resource_type(std::string(type));
  detail.set_resource_name(std::string(name));
  detail.set_description(std::string(description));
  SetDetail(&status, detail);
  return status;
}

absl::Status PreconditionFailed(absl::string_view type, absl::string_view subject,
                                absl::string_view description) {
  absl::Status status = absl::FailedPreconditionError(description);
  google::rpc::PreconditionFailure detail;
  auto* violation = detail.add_violations();
  violation->set_type(std::string(type));
  violation->set_subject(std::string(subject));
  violation->set_description(std::string(description));
  SetDetail(&status, detail);
  return status;
}

void SetDetail(absl::Status* status, const google::protobuf::Message& detail) {
  status->SetPayload(TypeUrl(detail), absl::Cord(detail.SerializeAsString()));
}

bool GetDetail(const absl::Status& status, google::protobuf::Message* detail) {
  const absl::optional<absl::Cord> payload = status.GetPayload(TypeUrl(*detail));
  return payload.has_value() && detail->ParseFromString(std::string(*payload));
}

}  // namespace byrnie
