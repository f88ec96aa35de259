#include "common/crypto/csr.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "common/crypto/subject_alt_names.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/obj.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr size_t kMaxCsrSize = 16 * 1024;

bool AddUriSan(X509_REQ* request, absl::string_view uri) {
  bssl::UniquePtr<GENERAL_NAMES> names(sk_GENERAL_NAME_new_null());
  if (!names || !AppendSubjectAltName(names.get(), GEN_URI, uri)) return false;
  bssl::UniquePtr<STACK_OF(X509_EXTENSION)> extensions(sk_X509_EXTENSION_new_null());
  if (!extensions) return false;
  STACK_OF(X509_EXTENSION)* list = extensions.get();
  return X509V3_add1_i2d(&list, NID_subject_alt_name, names.get(), /*crit=*/1,
                         X509V3_ADD_DEFAULT) == 1 &&
         X509_REQ_add_extensions(request, list);
}

}  // namespace

absl::StatusOr<std::string> CreateCsr(const PrivateKey& key, absl::string_view uri_san) {
  bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  if (!request || !X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) ||
      !X509_REQ_set_pubkey(request.get(), key.native()) ||
      (!uri_san.empty() && !AddUriSan(request.get(), uri_san)) ||
      !X509_REQ_sign(request.get(), key.native(), EVP_sha256())) {
    return SslError(absl::StatusCode::kInternal, "cannot make a certificate request");
  }
  uint8_t* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) {
    return SslError(absl::StatusCode::kInternal, "cannot encode a certificate request");
  }
  std::string text(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

absl::StatusOr<std::string> VerifyCsr(absl::string_view der, const KeyTypes& types) {
  if (der.size() > kMaxCsrSize) {
    return absl::InvalidArgumentError(absl::StrCat("certificate request of ", der.size(),
                                                   " bytes; at most ", kMaxCsrSize, " are taken"));
  }
  const uint8_t* in = reinterpret_cast<const uint8_t*>(der.data());
  const uint8_t* const end = in + der.size();
  bssl::UniquePtr<X509_REQ> request(d2i_X509_REQ(nullptr, &in, static_cast<long>(der.size())));
  if (!request || in != end) {
    return SslError(absl::StatusCode::kInvalidArgument,
                    "not exactly one PKCS#10 certificate request");
  }
  const EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr) {
    return SslError(absl::StatusCode::kInvalidArgument,
                    "certificate request with an unreadable key");
  }
  // The kind of key is checked before its signature, which a huge RSA key would make dear.
  if (!IsOfTypes(*key, types)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key of the certificate request is not ", KeyTypesText(types)));
  }
  int digest = NID_undef;
  // What has no digest of its own, as RSA-PSS, is for the verification to judge.
  if (OBJ_find_sigid_algs(X509_REQ_get_signature_nid(request.get()), &digest, nullptr) == 1 &&
      (digest == NID_sha1 || digest == NID_md5)) {
    return absl::InvalidArgumentError(
        "the certificate request is signed with SHA-1 or MD5; sign it with SHA-256");
  }
  if (X509_REQ_verify(request.get(), const_cast<EVP_PKEY*>(key)) != 1) {
    return SslError(absl::StatusCode::kInvalidArgument,
                    "certificate request with a wrong signature");
  }
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 128) || !EVP_marshal_public_key(cbb.get(), key)) {
    return SslError(absl::StatusCode::kInternal, "cannot encode a public key");
  }
  return std::string(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get()));
}

}  // namespace byrnie
