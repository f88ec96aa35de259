#include "common/crypto/name_text.h"

#include <cstddef>
#include <cstdint>

#include "common/crypto/ssl_error.h"
#include "openssl/bio.h"
#include "openssl/x509.h"

namespace byrnie {

std::string NameText(const X509_NAME* name) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  const uint8_t* data = nullptr;
  size_t size = 0;
  if (!bio || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0 ||
      !BIO_mem_contents(bio.get(), &data, &size)) {
    DrainSslErrors();
    return "(unprintable)";
  }
  return std::string(reinterpret_cast<const char*>(data), size);
}

}  // namespace byrnie
