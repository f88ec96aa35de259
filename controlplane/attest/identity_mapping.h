#ifndef BYRNIE_CONTROLPLANE_ATTEST_IDENTITY_MAPPING_H_
#define BYRNIE_CONTROLPLANE_ATTEST_IDENTITY_MAPPING_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/json.h"
#include "common/identity/spiffe_id.h"

namespace byrnie {

// From what a token claims to a SPIFFE ID of the own trust domain, for example
//
//   claims:    {"repository": "acme/{repo}", "ref": "refs/heads/main"}
//   spiffe_id: "spiffe://cluster.local/ci/{repo}"
//
// Every claim named must be there and be what its pattern says, from its first character to its
// last. A placeholder stands for one or more characters of a SPIFFE path segment, [a-zA-Z0-9._-],
// and is where the identity gets its parts from. So nothing of a token gets into an identity that
// is not a part of one segment, and no two different sets of parts give the same identity.
// Immutable, thread-safe.
class IdentityMapping {
 public:
  // A claim's name, "sub" or "kubernetes.io/namespace" of a claim within a claim (as in a JSON
  // pointer, RFC 6901, "~1" is a slash and "~0" a tilde of a name), and its pattern.
  using ClaimPatterns = std::vector<std::pair<std::string, std::string>>;

  // InvalidArgument says what is wrong: no claim; a placeholder that is not closed, is named twice,
  // is not known, or stands before text that could be a part of it; an identity of another trust
  // domain, whose first segment is not literal or is reserved for the mesh itself, that has two
  // placeholders in one segment, or that is no SPIFFE ID whatever is filled in.
  static absl::StatusOr<IdentityMapping> Create(const ClaimPatterns& claims,
                                                absl::string_view spiffe_id,
                                                absl::string_view trust_domain);

  // InvalidArgument names the first claim that does not match and what it is, cut to 128 bytes.
  absl::StatusOr<SpiffeId> Map(const JsonObject& claims) const;

 private:
  // Literal text, or the name of a placeholder.
  struct Piece {
    bool is_placeholder;
    std::string text;
  };
  using Pieces = std::vector<Piece>;
  using Parts = std::map<std::string, std::string>;
  struct Rule {
    std::string claim;
    std::vector<std::string> path;
    Pieces pattern;
  };

  IdentityMapping() = default;
  static absl::StatusOr<Pieces> ParsePieces(absl::string_view text);
  static absl::Status CheckPattern(const Pieces& pattern, Parts* known);
  absl::Status CheckIdentity(absl::string_view text, absl::string_view trust_domain,
                             const Parts& known) const;
  static bool Match(const Pieces& pattern, absl::string_view value, Parts* parts);
  absl::StatusOr<SpiffeId> Fill(const Parts& parts) const;

  std::vector<Rule> rules_;
  Pieces identity_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_IDENTITY_MAPPING_H_
