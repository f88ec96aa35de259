#include "common/crypto/token/base64url.h"

#include "absl/strings/escaping.h"

namespace byrnie {

absl::optional<std::string> DecodeBase64Url(absl::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || absl::WebSafeBase64Escape(bytes) != text) {
    return absl::nullopt;
  }
  return bytes;
}

}  // namespace byrnie
