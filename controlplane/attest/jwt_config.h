#ifndef BYRNIE_CONTROLPLANE_ATTEST_JWT_CONFIG_H_
#define BYRNIE_CONTROLPLANE_ATTEST_JWT_CONFIG_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controlplane/attest/identity_mapping.h"

namespace byrnie {

// Whose tokens are taken, and whom they stand for.
struct JwtIssuer {
  // The claim "iss", to the byte.
  std::string name;
  // One of them at least is in the claim "aud".
  std::vector<std::string> audiences;
  // Where its public keys are (RFC 7517).
  std::string jwks_file;
  // From when a token was issued to its end.
  absl::Duration max_life;
  // A token gives one certificate.
  bool single_use = false;
  // The first that a token's claims match gives the identity.
  std::vector<IdentityMapping> identities;
};

// The file of --jwt_config.
struct JwtConfig {
  static constexpr size_t kMaxSize = 256 * 1024;
  static constexpr size_t kMaxIssuers = 32;
  static constexpr absl::Duration kMaxLeeway = absl::Minutes(5);

  // How far the clocks of issuers may be off.
  absl::Duration leeway;
  std::vector<JwtIssuer> issuers;
  // SHA-256 of its text, lower-case hexadecimal.
  std::string digest;

  // InvalidArgument says where and what: for example "issuers[1].audiences: is empty". What is not
  // known is an error.
  static absl::StatusOr<JwtConfig> Parse(absl::string_view text, absl::string_view trust_domain);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_JWT_CONFIG_H_
