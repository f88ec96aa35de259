#include "controlplane/operator/page.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/grpc/error_details.h"

namespace byrnie {
namespace {

// A token is this of the list, then the key; base64url, so that nobody is tempted to read it.
std::string Prefix(absl::string_view list) {
  return absl::StrCat("1.", Sha256FingerprintHex(list).substr(0, 8), ".");
}

}  // namespace

absl::StatusOr<Page> Page::Create(int32_t size, absl::string_view token, absl::string_view list) {
  if (size < 0) {
    return InvalidField("page_size", absl::StrCat("is ", size, "; give 0 to ", kMaxSize));
  }
  const size_t wanted = size == 0 ? kDefaultSize : std::min(static_cast<size_t>(size), kMaxSize);
  if (token.empty()) return Page(wanted, "", std::string(list));
  std::string text;
  absl::string_view key;
  const bool decoded = absl::WebSafeBase64Unescape(token, &text);
  key = text;
  if (!decoded || !absl::ConsumePrefix(&key, Prefix(list)) || key.empty()) {
    return InvalidField("page_token",
                        "is not one of this list; begin again without, or keep the other fields");
  }
  return Page(wanted, std::string(key), std::string(list));
}

std::string Page::TokenAfter(absl::string_view key) const {
  return absl::WebSafeBase64Escape(absl::StrCat(Prefix(list_), key));
}

}  // namespace byrnie
