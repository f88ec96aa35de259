#ifndef BYRNIE_COMMON_CRYPTO_CSR_H_
#define BYRNIE_COMMON_CRYPTO_CSR_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/key_type.h"
#include "common/crypto/private_key.h"

namespace byrnie {

// Makes a PKCS#10 request (RFC 2986), DER, that proves possession of `key`. `uri_san` is put into
// the subjectAltName extension as a courtesy to CAs that look at it; empty leaves it out.
absl::StatusOr<std::string> CreateCsr(const PrivateKey& key, absl::string_view uri_san);

// Checks the signature of a request and returns its SubjectPublicKeyInfo, DER: the only thing a CA
// of ours takes from one. InvalidArgument when it does not parse, is larger than 16 KiB, its
// signature is wrong, or its key is of none of `types`.
absl::StatusOr<std::string> VerifyCsr(absl::string_view der,
                                      const KeyTypes& types = {KeyType::kP256});

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_CSR_H_
