#ifndef BYRNIE_COMMON_TLS_TESTING_TEST_CRL_H_
#define BYRNIE_COMMON_TLS_TESTING_TEST_CRL_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "common/crypto/revocation_list.h"

namespace byrnie {

// A revocation list to be made, good unless a member says otherwise.
struct TestCrlSpec {
  absl::Time this_update;
  absl::optional<absl::Time> next_update;
  std::vector<CertificatePtr> revoked;
  bool version_1 = false;
  bool sha1 = false;
  // Object identifiers of extensions with an empty value, of the list and of each entry.
  std::vector<std::string> extensions, critical_extensions;
  std::vector<std::string> critical_entry_extensions;
};

// DER, signed by the issuer's key. By BoringSSL's own code for lists, which the code under test
// does not use. Fails the process when it is asked for the impossible.
std::string MakeCrlDer(const TestCrlSpec& spec, const Certificate& issuer, const PrivateKey& key);

// A good one, from one hour before `now` to one hour after it.
RevocationListPtr MakeCrl(const Certificate& issuer, const PrivateKey& key, absl::Time now,
                          std::vector<CertificatePtr> revoked = {});

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_TEST_CRL_H_
