#ifndef BYRNIE_CERTAGENT_TOKEN_FILE_H_
#define BYRNIE_CERTAGENT_TOKEN_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// The file with the token that proves who this pod is: a join token, or a JSON Web Token that the
// kubelet or somebody else keeps fresh there. It is read for every use, so that a rotated one is
// used at once, and its content is kept nowhere. Immutable.
class TokenFile {
 public:
  static constexpr size_t kMaxSize = 16 * 1024;

  // `audience`: whom the token must be for; empty: anybody.
  TokenFile(std::string path, std::string audience)
      : path_(std::move(path)), audience_(std::move(audience)) {}

  // The token, without surrounding white space. Every error names the file and is exact about what
  // is wrong, because an authority that refuses a token must not say why. NotFound: no file, or an
  // empty one. Unauthenticated: as CheckToken.
  absl::StatusOr<SecretBytes> Read(absl::Time now) const;

 private:
  const std::string path_;
  const std::string audience_;
};

// Refuses what no authority would accept at `now`. A token with two dots, or that begins like one,
// is a JSON Web Token (RFC 7519): it must parse, must not have expired, and must be for `audience`
// unless that is empty. Its signature is the authority's business. Anything else is a join token,
// of which nothing is known, and which is for no audience. Unauthenticated never quotes the token.
absl::Status CheckToken(absl::string_view token, absl::string_view audience, absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_TOKEN_FILE_H_
