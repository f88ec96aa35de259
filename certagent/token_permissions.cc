#include "certagent/token_permissions.h"

#include <sys/types.h>

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/types/optional.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"

namespace byrnie {
namespace {

constexpr size_t kMaxTokenSize = 16 * 1024;

// A JSON Web Token (RFC 7519): three parts of base64url, the first of which is an object.
bool IsWebToken(absl::string_view token) {
  return absl::StartsWith(token, "eyJ") && std::count(token.begin(), token.end(), '.') == 2;
}

}  // namespace

std::string TokenFileWarning(const std::string& path) {
  const absl::optional<mode_t> loose = LooseMode(path);
  if (!loose.has_value()) return "";
  const absl::StatusOr<SecretBytes> token = ReadSecretFile(path, kMaxTokenSize);
  if (token.ok() && IsWebToken(absl::StripAsciiWhitespace(token->view()))) return "";
  return absl::StrFormat(
      "others may read %s (mode %04o) and join in this pod's place; chmod 600 %s", path, *loose,
      path);
}

}  // namespace byrnie
