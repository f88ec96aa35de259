#include "common/crypto/subject_alt_names.h"

#include <utility>

#include "openssl/asn1.h"
#include "openssl/stack.h"

namespace byrnie {

bool AppendSubjectAltName(GENERAL_NAMES* names, int type, absl::string_view value) {
  bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
  bssl::UniquePtr<ASN1_STRING> text(
      ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING));
  if (!name || !text ||
      !ASN1_STRING_set(text.get(), value.data(), static_cast<ossl_ssize_t>(value.size()))) {
    return false;
  }
  GENERAL_NAME_set0_value(name.get(), type, text.release());
  return bssl::PushToStack(names, std::move(name));
}

}  // namespace byrnie
