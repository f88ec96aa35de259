#include "controlplane/kubernetes/api_client.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"

namespace byrnie {
namespace {

constexpr size_t kMaxStatusBody = 64 * 1024;
constexpr size_t kMaxMessage = 256;

// The message of a meta/v1 Status; empty where the body is none.
std::string MessageOf(const std::string& body) {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(body, kMaxStatusBody);
  if (!value.ok()) return "";
  const absl::StatusOr<JsonObject> object = value->AsObject();
  if (!object.ok()) return "";
  const absl::StatusOr<std::string> message = object->GetStringOr("message", "");
  return message.ok() ? absl::CHexEscape(message->substr(0, kMaxMessage)) : "";
}

absl::StatusCode CodeOf(int status) {
  switch (status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAlreadyExists;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 400:
    case 405:
    case 406:
    case 415:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status ApiError(const ApiResponse& response) {
  const std::string message = MessageOf(response.body);
  return absl::Status(CodeOf(response.status),
                      absl::StrCat("the API server answered ", response.status,
                                   message.empty() ? "" : ": ", message));
}

absl::Status StatusOf(const absl::StatusOr<ApiResponse>& response) {
  if (!response.ok()) return response.status();
  return response->ok() ? absl::OkStatus() : ApiError(*response);
}

std::string EncodeQuery(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%", absl::Hex(byte, absl::kZeroPad2));
    }
  }
  return out;
}

}  // namespace byrnie
