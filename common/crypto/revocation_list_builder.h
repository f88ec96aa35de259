#ifndef BYRNIE_COMMON_CRYPTO_REVOCATION_LIST_BUILDER_H_
#define BYRNIE_COMMON_CRYPTO_REVOCATION_LIST_BUILDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/issuer_key.h"
#include "common/crypto/revocation_list.h"

namespace byrnie {

// What a revocation list is to say.
struct RevocationListSpec {
  struct Entry {
    // Hexadecimal, as Certificate::SerialHex gives it.
    std::string serial;
    absl::Time revoked_at;
  };
  absl::Time this_update;
  absl::Time next_update;
  // Grows with each list of an issuer (RFC 5280 section 5.2.3).
  uint64_t number = 1;
  std::vector<Entry> revoked;
};

// Makes and signs a complete, direct list of version 2 (RFC 5280 section 5) with the key of
// `issuer` and its digest(). InvalidArgument: the key is not the issuer's, or a serial is none.
absl::StatusOr<RevocationListPtr> BuildRevocationList(const RevocationListSpec& spec,
                                                      const Certificate& issuer,
                                                      const IssuerKey& key);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_REVOCATION_LIST_BUILDER_H_
