#include "common/identity/svid_rules.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/key_type.h"
#include "common/crypto/ssl_error.h"
#include "common/identity/spiffe_id.h"
#include "openssl/evp.h"
#include "openssl/nid.h"
#include "openssl/obj.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr int kMaxExtensions = 32;
constexpr size_t kMaxNameShown = 256;
constexpr uint32_t kTlsUsages = XKU_SSL_SERVER | XKU_SSL_CLIENT;

absl::Status Refuse(const Certificate& certificate, absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat(NameOf(certificate), " ", why));
}

absl::Status CheckKey(const Certificate& certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(certificate.native());
  if (key == nullptr) {
    DrainSslErrors();
    return Refuse(certificate, "has a public key of an unknown kind");
  }
  if (EVP_PKEY_id(key) == EVP_PKEY_EC) {
    const int curve = EVP_PKEY_get_ec_curve_nid(key);
    if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1) return absl::OkStatus();
    return Refuse(certificate,
                  "has a public key on an elliptic curve that is not taken; use P-256 "
                  "or P-384");
  }
  if (EVP_PKEY_id(key) == EVP_PKEY_RSA) {
    const int bits = EVP_PKEY_bits(key);
    if (bits >= kMinRsaBits && bits <= kMaxRsaBits) return absl::OkStatus();
    return Refuse(certificate, absl::StrCat("has an RSA key of ", bits, " bits; ", kMinRsaBits,
                                            " to ", kMaxRsaBits, " are taken"));
  }
  return Refuse(certificate,
                "has a public key of a kind that is not taken; use P-256, P-384 or RSA");
}

bool IsCritical(const Certificate& certificate, int nid) {
  const int at = X509_get_ext_by_NID(certificate.native(), nid, -1);
  return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(certificate.native(), at));
}

bool HasKeyUsage(const Certificate& certificate) {
  return (X509_get_extension_flags(certificate.native()) & EXFLAG_KUSAGE) != 0;
}

}  // namespace

std::string NameOf(const Certificate& certificate) {
  if (certificate.uri_sans().size() == 1) {
    return absl::StrCat("certificate of ",
                        absl::CEscape(certificate.uri_sans().front().substr(0, kMaxNameShown)));
  }
  return absl::StrCat("certificate \"", certificate.Subject().substr(0, kMaxNameShown), "\"");
}

absl::Status CheckShape(const Certificate& certificate) {
  const int count = X509_get_ext_count(certificate.native());
  if (count > kMaxExtensions) {
    return Refuse(certificate, absl::StrCat("has ", count, " extensions; at most ", kMaxExtensions,
                                            " are taken"));
  }
  // RFC 5280 section 4.2: readers of the first and readers of the last would see two certificates.
  for (int i = 0; i < count; ++i) {
    const ASN1_OBJECT* oid = X509_EXTENSION_get_object(X509_get_ext(certificate.native(), i));
    if (X509_get_ext_by_OBJ(certificate.native(), oid, i) >= 0) {
      return Refuse(certificate, "has the same extension twice");
    }
  }
  return CheckKey(certificate);
}

absl::Status CheckSignatureAlgorithm(const Certificate& certificate) {
  switch (X509_get_signature_nid(certificate.native())) {
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
    case NID_rsassaPss:  // The library takes it with these three hashes only.
      return absl::OkStatus();
    default:
      return Refuse(certificate,
                    "has a signature algorithm that is not taken; use ECDSA or RSA with SHA-256, "
                    "SHA-384 or SHA-512");
  }
}

absl::Status CheckLeaf(const Certificate& leaf) {
  if (leaf.is_ca()) return Refuse(leaf, "is a CA certificate, which may not authenticate");
  if (!HasKeyUsage(leaf)) return Refuse(leaf, "has no key usage");
  if (!IsCritical(leaf, NID_key_usage)) return Refuse(leaf, "has a key usage that is not critical");
  const uint32_t usage = X509_get_key_usage(leaf.native());
  if (usage & X509v3_KU_KEY_CERT_SIGN) return Refuse(leaf, "has the key usage keyCertSign");
  if (usage & X509v3_KU_CRL_SIGN) return Refuse(leaf, "has the key usage cRLSign");
  if (!(usage & X509v3_KU_DIGITAL_SIGNATURE)) {
    return Refuse(leaf, "lacks the key usage digitalSignature");
  }
  if (X509_NAME_entry_count(X509_get_subject_name(leaf.native())) == 0 &&
      !leaf.uri_sans().empty() && !IsCritical(leaf, NID_subject_alt_name)) {
    return Refuse(leaf, "has an empty subject, and its subjectAltName is not critical");
  }
  return absl::OkStatus();
}

absl::Status CheckSigner(const Certificate& signer) {
  if (!signer.is_ca()) return Refuse(signer, "is not a CA certificate: cA is false");
  if (!HasKeyUsage(signer)) {
    return Refuse(signer, "has no key usage; a signing certificate has keyCertSign");
  }
  if (!(X509_get_key_usage(signer.native()) & X509v3_KU_KEY_CERT_SIGN)) {
    return Refuse(signer, "lacks the key usage keyCertSign");
  }
  for (absl::string_view uri : signer.uri_sans()) {
    if (!absl::StartsWithIgnoreCase(uri, "spiffe:")) continue;
    if (signer.uri_sans().size() > 1) {
      return Refuse(signer, "has a SPIFFE ID beside another URI subject alternative name");
    }
    if (!absl::ConsumePrefix(&uri, "spiffe://") || !SpiffeId::CheckTrustDomain(uri).ok()) {
      return Refuse(signer,
                    "has a SPIFFE ID that is not spiffe:// and a trust domain alone; a signing "
                    "certificate's has no path");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckExtendedKeyUsage(const Certificate& certificate) {
  if (!(X509_get_extension_flags(certificate.native()) & EXFLAG_XKUSAGE)) return absl::OkStatus();
  const uint32_t usages = X509_get_extended_key_usage(certificate.native());
  switch (usages & kTlsUsages) {
    case kTlsUsages:
      return absl::OkStatus();
    case XKU_SSL_SERVER:
      return Refuse(certificate, "lacks the extended key usage clientAuth");
    case XKU_SSL_CLIENT:
      return Refuse(certificate, "lacks the extended key usage serverAuth");
    default:
      return Refuse(certificate, "lacks the extended key usages serverAuth and clientAuth");
  }
}

}  // namespace byrnie
