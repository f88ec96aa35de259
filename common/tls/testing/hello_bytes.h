#ifndef BYRNIE_COMMON_TLS_TESTING_HELLO_BYTES_H_
#define BYRNIE_COMMON_TLS_TESTING_HELLO_BYTES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace byrnie {

// The first bytes of a TLS client as BoringSSL itself writes them, with a key share of
// X25519MLKEM768, for tests.
std::string HelloBytes(const std::vector<std::string>& alpn, const std::string& server_name,
                       bool grease = false);

// A handshake message, or a piece of one, in a record of its own.
std::string InRecord(absl::string_view content);

// The content of `records` in records of at most `size` bytes each.
std::string Refragment(absl::string_view records, size_t size);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_HELLO_BYTES_H_
