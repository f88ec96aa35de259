#include "controlplane/attest/token_signatures.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace byrnie {

void TokenSignatures::SetKeys(std::shared_ptr<const JwkSet> keys) {
  absl::MutexLock lock(&mu_);
  keys_.swap(keys);
}

TokenSignatures::Verdict TokenSignatures::Judge(const CompactJwt& jwt) const {
  std::shared_ptr<const JwkSet> keys;
  {
    absl::MutexLock lock(&mu_);
    keys = keys_;
  }
  const absl::StatusOr<std::string> id = jwt.header.GetString("kid");
  const absl::StatusOr<std::string> algorithm = jwt.header.GetString("alg");
  // Without a name any key of the issuer's may have made it, also one that we cannot use.
  if (keys == nullptr || !id.ok() || id->empty() || !algorithm.ok()) return Verdict::kUnclear;
  const Jwk* const key = keys->Find(*id);
  if (key == nullptr) return Verdict::kUnknownKey;
  if (key->algorithm() != *algorithm) return Verdict::kUnclear;
  return key->Verify(jwt.signed_part, jwt.signature) ? Verdict::kRight : Verdict::kWrong;
}

}  // namespace byrnie
