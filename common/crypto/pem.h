#ifndef BYRNIE_COMMON_CRYPTO_PEM_H_
#define BYRNIE_COMMON_CRYPTO_PEM_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// The bytes of all blocks of a PEM text (RFC 7468), in order: "-----BEGIN LABEL-----" and so on.
// `what` names a block for people: "certificate". Lines outside of blocks are explanatory text
// (section 2), as openssl writes it, and are passed over, and so is a byte order mark.
// InvalidArgument when there is a block of another label, an end line without a beginning (a block
// whose first line is damaged is not text), no block at all, or more than `max_size` bytes of text.
// Its message quotes nothing but the names of blocks, so that a key in the wrong file is not given
// away. Not for secrets.
absl::StatusOr<std::vector<std::string>> ParsePem(absl::string_view pem, absl::string_view label,
                                                  absl::string_view what, size_t max_size);

// One block, with a line end after it.
std::string ToPem(absl::string_view der, absl::string_view label);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_PEM_H_
