#ifndef BYRNIE_COMMON_CRYPTO_TOKEN_BASE64URL_H_
#define BYRNIE_COMMON_CRYPTO_TOKEN_BASE64URL_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {

// The bytes of a base64url text as JOSE writes them (RFC 7515 section 2): no padding, no other
// characters, and no second spelling of the same bytes. Absent when it is none.
absl::optional<std::string> DecodeBase64Url(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_TOKEN_BASE64URL_H_
