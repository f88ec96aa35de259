#ifndef BYRNIE_CONTROLPLANE_RECORDS_AUTHORITY_RECORD_H_
#define BYRNIE_CONTROLPLANE_RECORDS_AUTHORITY_RECORD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/secret_bytes.h"
#include "controlplane/store/store.h"

namespace byrnie {

// The certificate authority of a trust domain, as it survives a restart.
struct AuthorityRecord {
  std::string trust_domain;
  // The root certificate, DER.
  std::string root_der;
  // Its private key, PKCS#8.
  SecretBytes key_pkcs8;
};

// Absent before the first start. FailedPrecondition when what is kept cannot be right; else as the
// store.
absl::StatusOr<absl::optional<AuthorityRecord>> LoadAuthority(Store* store);

// AlreadyExists when there is an authority: one is never replaced by accident.
absl::Status CreateAuthority(Store* store, const AuthorityRecord& authority);

// Adds the write of the record, which holds a secret, to a transaction.
void PutAuthority(const AuthorityRecord& authority, StoreTransaction* transaction);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_AUTHORITY_RECORD_H_
