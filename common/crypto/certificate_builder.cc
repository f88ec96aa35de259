#include "common/crypto/certificate_builder.h"

#include <cstdint>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/ssl_error.h"
#include "common/crypto/subject_alt_names.h"
#include "openssl/asn1.h"
#include "openssl/bn.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/obj.h"
#include "openssl/rand.h"
#include "openssl/sha2.h"
#include "openssl/stack.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr size_t kMaxCommonName = 64;  // ub-common-name, RFC 5280 appendix A.1.
constexpr size_t kSerialBytes = 16;
constexpr size_t kKeyIdBytes = 20;

// Bits of KeyUsage, RFC 5280 section 4.2.1.3.
constexpr int kDigitalSignature = 0;
constexpr int kKeyAgreement = 4;
constexpr int kKeyCertSign = 5;
constexpr int kCrlSign = 6;

absl::Status CheckSpec(const CertificateSpec& spec, bool self_signed) {
  if (spec.common_name.size() > kMaxCommonName) {
    return absl::InvalidArgumentError(absl::StrCat("common name of ", spec.common_name.size(),
                                                   " bytes; at most ", kMaxCommonName));
  }
  if (spec.not_after < spec.not_before) {
    return absl::InvalidArgumentError("certificate that ends before it begins");
  }
  if (spec.common_name.empty() && (spec.is_ca || self_signed)) {
    return absl::InvalidArgumentError("an issuer needs a common name (RFC 5280 section 4.1.2.6)");
  }
  if (spec.common_name.empty() && spec.uri_sans.empty() && spec.dns_sans.empty() &&
      spec.ip_sans.empty() && spec.email_sans.empty()) {
    return absl::InvalidArgumentError("certificate with neither subject nor subjectAltName");
  }
  if (!spec.is_ca && spec.path_length >= 0) {
    return absl::InvalidArgumentError("path length without is_ca");
  }
  return absl::OkStatus();
}

bool SetRandomSerial(X509* x509) {
  uint8_t bytes[kSerialBytes];
  RAND_bytes(bytes, sizeof(bytes));
  // Positive and never zero (RFC 5280 section 4.1.2.2), without costing length.
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  bssl::UniquePtr<BIGNUM> number(BN_bin2bn(bytes, sizeof(bytes), nullptr));
  bssl::UniquePtr<ASN1_INTEGER> serial(number ? BN_to_ASN1_INTEGER(number.get(), nullptr)
                                              : nullptr);
  return serial && X509_set_serialNumber(x509, serial.get());
}

bool SetSubject(X509* x509, const std::string& common_name) {
  if (common_name.empty()) return true;
  return X509_NAME_add_entry_by_NID(X509_get_subject_name(x509), NID_commonName, MBSTRING_UTF8,
                                    reinterpret_cast<const uint8_t*>(common_name.data()),
                                    static_cast<ossl_ssize_t>(common_name.size()), -1, 0) == 1;
}

bool SetValidity(X509* x509, const CertificateSpec& spec) {
  return ASN1_TIME_set_posix(X509_getm_notBefore(x509), absl::ToUnixSeconds(spec.not_before)) !=
             nullptr &&
         ASN1_TIME_set_posix(X509_getm_notAfter(x509), absl::ToUnixSeconds(spec.not_after)) !=
             nullptr;
}

bool AddExtension(X509* x509, int nid, void* value, bool critical) {
  return X509_add1_ext_i2d(x509, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

bool AddBasicConstraints(X509* x509, const CertificateSpec& spec) {
  bssl::UniquePtr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  if (!constraints) return false;
  constraints->ca = spec.is_ca ? ASN1_BOOLEAN_TRUE : ASN1_BOOLEAN_FALSE;
  if (spec.path_length >= 0) {
    constraints->pathlen = ASN1_INTEGER_new();
    if (constraints->pathlen == nullptr ||
        !ASN1_INTEGER_set_uint64(constraints->pathlen, static_cast<uint64_t>(spec.path_length))) {
      return false;
    }
  }
  return AddExtension(x509, NID_basic_constraints, constraints.get(), /*critical=*/true);
}

bool AddKeyUsage(X509* x509, const CertificateSpec& spec) {
  if (spec.omit_key_usage) return true;
  bssl::UniquePtr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  if (!usage) return false;
  const auto set = [&usage](int bit, bool wanted) {
    return !wanted || ASN1_BIT_STRING_set_bit(usage.get(), bit, 1) == 1;
  };
  return set(kDigitalSignature, !spec.is_ca && !spec.omit_digital_signature) &&
         set(kKeyAgreement, !spec.is_ca && spec.omit_digital_signature) &&
         set(kKeyCertSign, (spec.is_ca && !spec.omit_cert_sign) || spec.key_usage_cert_sign) &&
         set(kCrlSign, (spec.is_ca && !spec.omit_crl_sign) || spec.key_usage_crl_sign) &&
         AddExtension(x509, NID_key_usage, usage.get(), !spec.key_usage_not_critical);
}

bool AddExtendedKeyUsage(X509* x509, const CertificateSpec& spec) {
  if (spec.is_ca || (!spec.server_auth && !spec.client_auth)) return true;
  bssl::UniquePtr<EXTENDED_KEY_USAGE> usages(EXTENDED_KEY_USAGE_new());
  if (!usages) return false;
  const auto add = [&usages](int nid) {
    // Objects of the built-in table are static: nothing to free, ownership is nominal.
    return sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(nid)) != 0;
  };
  if (spec.server_auth && !add(NID_server_auth)) return false;
  if (spec.client_auth && !add(NID_client_auth)) return false;
  return AddExtension(x509, NID_ext_key_usage, usages.get(), /*critical=*/false);
}

bool AddSubjectAltNames(X509* x509, const CertificateSpec& spec) {
  bssl::UniquePtr<GENERAL_NAMES> names(sk_GENERAL_NAME_new_null());
  if (!names) return false;
  for (const std::string& uri : spec.uri_sans) {
    if (!AppendSubjectAltName(names.get(), GEN_URI, uri)) return false;
  }
  for (const std::string& dns : spec.dns_sans) {
    if (!AppendSubjectAltName(names.get(), GEN_DNS, dns)) return false;
  }
  for (const std::string& ip : spec.ip_sans) {
    if (!AppendSubjectAltName(names.get(), GEN_IPADD, ip)) return false;
  }
  for (const std::string& email : spec.email_sans) {
    if (!AppendSubjectAltName(names.get(), GEN_EMAIL, email)) return false;
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return true;
  return AddExtension(x509, NID_subject_alt_name, names.get(),
                      spec.common_name.empty() && !spec.san_not_critical);
}

// RFC 7093 section 2, method 1: the leftmost 160 bits of the SHA-256 of the key.
bssl::UniquePtr<ASN1_OCTET_STRING> KeyIdentifier(const X509* x509) {
  const ASN1_BIT_STRING* key = X509_get0_pubkey_bitstr(x509);
  bssl::UniquePtr<ASN1_OCTET_STRING> id(ASN1_OCTET_STRING_new());
  if (key == nullptr || !id) return nullptr;
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(ASN1_STRING_get0_data(key), static_cast<size_t>(ASN1_STRING_length(key)), digest);
  if (!ASN1_OCTET_STRING_set(id.get(), digest, kKeyIdBytes)) return nullptr;
  return id;
}

bool AddKeyIdentifiers(X509* x509, const Certificate* issuer) {
  bssl::UniquePtr<ASN1_OCTET_STRING> own = KeyIdentifier(x509);
  if (!own || !AddExtension(x509, NID_subject_key_identifier, own.get(), false)) return false;
  if (issuer == nullptr) return true;
  // The issuer's identifier as the issuer states it: other CAs compute it in other ways.
  const ASN1_OCTET_STRING* stated = X509_get0_subject_key_id(issuer->native());
  if (stated == nullptr) return true;
  bssl::UniquePtr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  if (!authority) return false;
  authority->keyid = ASN1_OCTET_STRING_dup(stated);
  return authority->keyid != nullptr &&
         AddExtension(x509, NID_authority_key_identifier, authority.get(), false);
}

bool AddRawExtensions(X509* x509, const CertificateSpec& spec) {
  for (const CertificateSpec::RawExtension& raw : spec.raw_extensions) {
    bssl::UniquePtr<ASN1_OBJECT> oid(OBJ_txt2obj(raw.oid.c_str(), /*dont_search_names=*/1));
    bssl::UniquePtr<ASN1_OCTET_STRING> value(ASN1_OCTET_STRING_new());
    if (!oid || !value ||
        !ASN1_OCTET_STRING_set(value.get(), reinterpret_cast<const uint8_t*>(raw.der.data()),
                               static_cast<ossl_ssize_t>(raw.der.size()))) {
      return false;
    }
    bssl::UniquePtr<X509_EXTENSION> extension(
        X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), raw.critical, value.get()));
    if (!extension || !X509_add_ext(x509, extension.get(), -1)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<CertificatePtr> BuildCertificate(const CertificateSpec& spec,
                                                absl::string_view subject_public_key,
                                                const Certificate* issuer,
                                                const IssuerKey& issuer_key) {
  RETURN_IF_ERROR(CheckSpec(spec, issuer == nullptr));
  if (issuer != nullptr && !issuer->MatchesKey(issuer_key)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the signing key is not that of the issuer ", issuer->Subject()));
  }
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const uint8_t*>(subject_public_key.data()),
           subject_public_key.size());
  bssl::UniquePtr<EVP_PKEY> key(EVP_parse_public_key(&cbs));
  if (!key || CBS_len(&cbs) != 0) {
    return SslError(absl::StatusCode::kInvalidArgument, "malformed subject public key");
  }
  if (issuer == nullptr && EVP_PKEY_cmp(key.get(), issuer_key.native()) != 1) {
    DrainSslErrors();
    return absl::InvalidArgumentError("a self-signed certificate is signed with its own key");
  }

  bssl::UniquePtr<X509> x509(X509_new());
  if (!x509 || !X509_set_version(x509.get(), X509_VERSION_3) || !SetRandomSerial(x509.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot make a certificate");
  }
  if (!SetSubject(x509.get(), spec.common_name)) {
    return SslError(absl::StatusCode::kInvalidArgument, "common name that is not UTF-8");
  }
  if (!SetValidity(x509.get(), spec)) {
    return SslError(absl::StatusCode::kInvalidArgument, "validity that X.509 cannot express");
  }
  X509_NAME* issuer_name = X509_get_subject_name(issuer == nullptr ? x509.get() : issuer->native());
  if (!X509_set_issuer_name(x509.get(), issuer_name) || !X509_set_pubkey(x509.get(), key.get()) ||
      !AddBasicConstraints(x509.get(), spec) || !AddKeyUsage(x509.get(), spec) ||
      !AddExtendedKeyUsage(x509.get(), spec) || !AddSubjectAltNames(x509.get(), spec) ||
      (!spec.omit_key_ids && !AddKeyIdentifiers(x509.get(), issuer)) ||
      !AddRawExtensions(x509.get(), spec) ||
      !X509_sign(x509.get(), issuer_key.native(), spec.sha1 ? EVP_sha1() : issuer_key.digest())) {
    return SslError(absl::StatusCode::kInternal, "cannot make a certificate");
  }
  uint8_t* der = nullptr;
  const int size = i2d_X509(x509.get(), &der);
  if (size <= 0) return SslError(absl::StatusCode::kInternal, "cannot encode a certificate");
  absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(
      absl::string_view(reinterpret_cast<const char*>(der), static_cast<size_t>(size)));
  OPENSSL_free(der);
  return certificate;
}

}  // namespace byrnie
