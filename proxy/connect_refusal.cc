#include "proxy/connect_refusal.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

// Of the peer's words, in an error.
constexpr size_t kMaxQuoted = 128;

constexpr char kDenyReasonPayload[] = "byrnie/deny-reason";

}  // namespace

absl::Status ConnectRefusal(absl::StatusCode code, int http_status, const HeaderList& headers) {
  std::string text = absl::StrCat("the peer's proxy answered ", http_status);
  absl::string_view reason;
  for (const auto& [name, value] : headers) {
    if (name == kDenyReasonHeader) reason = absl::string_view(value).substr(0, kMaxQuoted);
  }
  if (!reason.empty()) absl::StrAppend(&text, ": ", reason);
  absl::Status status(code, text);
  if (!reason.empty()) status.SetPayload(kDenyReasonPayload, absl::Cord(reason));
  return status;
}

std::string DenyReasonOf(const absl::Status& status) {
  const absl::optional<absl::Cord> reason = status.GetPayload(kDenyReasonPayload);
  return reason.has_value() ? std::string(*reason) : std::string();
}

}  // namespace byrnie
