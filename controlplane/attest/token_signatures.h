#ifndef BYRNIE_CONTROLPLANE_ATTEST_TOKEN_SIGNATURES_H_
#define BYRNIE_CONTROLPLANE_ATTEST_TOKEN_SIGNATURES_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/token/compact_jwt.h"
#include "common/crypto/token/jwk_set.h"

namespace byrnie {

// What the keys that an issuer has published say of a token's signature, before anybody who costs
// more is asked about the token. Thread-safe.
class TokenSignatures {
 public:
  enum class Verdict {
    // There are no keys yet, or the token does not say by which one, or of another algorithm.
    kUnclear,
    // By none that was published when they were fetched: the issuer may have a new one.
    kUnknownKey,
    kWrong,
    kRight,
  };

  void SetKeys(std::shared_ptr<const JwkSet> keys);
  Verdict Judge(const CompactJwt& jwt) const;

 private:
  mutable absl::Mutex mu_;
  std::shared_ptr<const JwkSet> keys_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_TOKEN_SIGNATURES_H_
