#ifndef BYRNIE_COMMON_CRYPTO_NAME_TEXT_H_
#define BYRNIE_COMMON_CRYPTO_NAME_TEXT_H_

#include <string>

#include "openssl/base.h"

namespace byrnie {

// A distinguished name as RFC 2253 writes it, safe in logs: control characters are escaped.
// "(unprintable)" where the library cannot write it.
std::string NameText(const X509_NAME* name);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_NAME_TEXT_H_
