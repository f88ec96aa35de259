#ifndef BYRNIE_COMMON_CRYPTO_SUBJECT_ALT_NAMES_H_
#define BYRNIE_COMMON_CRYPTO_SUBJECT_ALT_NAMES_H_

#include "absl/strings/string_view.h"
#include "openssl/x509.h"

namespace byrnie {

// Appends an entry of an IA5String kind (GEN_URI, GEN_DNS, GEN_EMAIL), or of GEN_IPADD, with
// exactly the bytes of `value`, NULs included. False when memory ran out; the reason is in
// BoringSSL's error queue. For common/crypto alone.
bool AppendSubjectAltName(GENERAL_NAMES* names, int type, absl::string_view value);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_SUBJECT_ALT_NAMES_H_
