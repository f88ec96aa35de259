#ifndef BYRNIE_CONTROLPLANE_OPERATOR_ROLE_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_ROLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"

namespace byrnie {

// What an operator may do. Each role includes the ones before it.
enum class Role {
  kViewer = 1,    // Looks.
  kOperator = 2,  // Changes policies, makes join tokens.
  kAdmin = 3,     // All, operators' tokens included.
};

// "viewer", "operator", "admin".
absl::string_view NameOf(Role role);
// InvalidArgument lists them.
absl::StatusOr<Role> ParseRole(absl::string_view text);

// Whether who has `role` may do what `needed` may.
constexpr bool Includes(Role role, Role needed) {
  return static_cast<int>(role) >= static_cast<int>(needed);
}

// Who calls, once that has been proven.
struct Caller {
  // How it was proven; with `name` it says who it is.
  enum class Proof { kToken, kCertificate };
  // The token's name, or the SPIFFE ID.
  std::string name;
  Role role = Role::kViewer;
  Proof proof = Proof::kToken;
  // The end of the certificate; a token's is looked up.
  absl::Time valid_until = absl::InfiniteFuture();
  // What it was proven with, because another token may have the name of one that was revoked:
  // HashBearerToken() of the token, or the certificates, as PeerIdentity has them. Not for logs.
  std::string token_hash = "";
  CertificateChain path = {};
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_ROLE_H_
