#include "common/crypto/certificate.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/name_text.h"
#include "common/crypto/pem.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/crypto/ssl_error.h"
#include "openssl/asn1.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/nid.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr absl::string_view kPemLabel = "CERTIFICATE";
constexpr size_t kMaxPemSize = 1024 * 1024;

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time, absl::string_view name) {
  int64_t posix;
  if (time == nullptr || !ASN1_TIME_to_posix(time, &posix)) {
    return SslError(absl::StatusCode::kInvalidArgument,
                    absl::StrCat("certificate with a malformed ", name));
  }
  return absl::FromUnixSeconds(posix);
}

CBS ValueOf(const X509_EXTENSION* extension) {
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
  CBS cbs;
  CBS_init(&cbs, ASN1_STRING_get0_data(value), static_cast<size_t>(ASN1_STRING_length(value)));
  return cbs;
}

// Walks the list instead of having the library make objects of it, as it does once anyway when it
// looks at all extensions: a peer may send thousands of names.
absl::StatusOr<std::vector<std::string>> ReadUriSans(const X509* x509) {
  // [6] IMPLICIT IA5String (RFC 5280 section 4.2.1.6).
  constexpr CBS_ASN1_TAG kUri = CBS_ASN1_CONTEXT_SPECIFIC | 6;
  std::vector<std::string> uris;
  const int at = X509_get_ext_by_NID(x509, NID_subject_alt_name, -1);
  if (at < 0) return uris;
  CBS in = ValueOf(X509_get_ext(x509, at)), names;
  // Twice the same extension is forbidden (RFC 5280 section 4.2), and readers that take the first
  // and readers that take the last would see two identities.
  bool good = X509_get_ext_by_NID(x509, NID_subject_alt_name, at) < 0 &&
              CBS_get_asn1(&in, &names, CBS_ASN1_SEQUENCE) && CBS_len(&in) == 0 &&
              CBS_len(&names) > 0;
  while (good && CBS_len(&names) > 0) {
    CBS name;
    CBS_ASN1_TAG tag;
    good = CBS_get_any_asn1(&names, &name, &tag) && tag != (kUri | CBS_ASN1_CONSTRUCTED);
    if (!good || tag != kUri) continue;
    // By length, never as a C string: a NUL inside must not cut an identity short.
    uris.emplace_back(reinterpret_cast<const char*>(CBS_data(&name)), CBS_len(&name));
  }
  if (good) return uris;
  return absl::InvalidArgumentError("certificate with a malformed or repeated subjectAltName");
}

// The points of one cRLDistributionPoints value (RFC 5280 section 4.2.1.13), which nobody here
// uses. One that is named relative to the issuer makes the library copy the issuer's whole name:
// with hundreds of them, 16 KiB of a peer's choosing would cost tens of megabytes, before any
// signature is looked at. No conforming CA makes them.
absl::Status CheckDistributionPoints(const X509_EXTENSION* extension) {
  constexpr CBS_ASN1_TAG kName = CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0;
  constexpr CBS_ASN1_TAG kRelative = CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 1;
  CBS in = ValueOf(extension), points;
  bool good = CBS_get_asn1(&in, &points, CBS_ASN1_SEQUENCE) && CBS_len(&in) == 0;
  while (good && CBS_len(&points) > 0) {
    CBS point, name;
    int has_name = 0;
    good = CBS_get_asn1(&points, &point, CBS_ASN1_SEQUENCE) &&
           CBS_get_optional_asn1(&point, &name, &has_name, kName);
    if (good && has_name && CBS_peek_asn1_tag(&name, kRelative)) {
      return absl::InvalidArgumentError(
          "certificate with a CRL distribution point that is named relative to its issuer");
    }
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError("certificate with malformed CRL distribution points");
}

absl::Status CheckDistributionPoints(const X509* x509) {
  for (int at = -1; (at = X509_get_ext_by_NID(x509, NID_crl_distribution_points, at)) >= 0;) {
    RETURN_IF_ERROR(CheckDistributionPoints(X509_get_ext(x509, at)));
  }
  return absl::OkStatus();
}

}  // namespace

Certificate::~Certificate() = default;

absl::StatusOr<std::shared_ptr<const Certificate>> Certificate::FromDer(absl::string_view der) {
  if (der.empty()) return absl::InvalidArgumentError("empty certificate");
  if (der.size() > kMaxDerSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate of ", der.size(), " bytes; at most ", kMaxDerSize, " are taken"));
  }
  const uint8_t* in = reinterpret_cast<const uint8_t*>(der.data());
  const uint8_t* const end = in + der.size();
  std::shared_ptr<Certificate> certificate(new Certificate());
  certificate->x509_.reset(d2i_X509(nullptr, &in, static_cast<long>(der.size())));
  if (!certificate->x509_) {
    return SslError(absl::StatusCode::kInvalidArgument, "not an X.509 certificate");
  }
  if (in != end) {
    return absl::InvalidArgumentError(absl::StrCat(end - in, " bytes after the certificate"));
  }
  X509* const x509 = certificate->x509_.get();
  certificate->der_ = std::string(der);
  ASSIGN_OR_RETURN(certificate->not_before_, ToTime(X509_get0_notBefore(x509), "notBefore"));
  ASSIGN_OR_RETURN(certificate->not_after_, ToTime(X509_get0_notAfter(x509), "notAfter"));
  ASSIGN_OR_RETURN(certificate->uri_sans_, ReadUriSans(x509));
  RETURN_IF_ERROR(CheckDistributionPoints(x509));
  const uint32_t flags = X509_get_extension_flags(x509);
  if (flags & EXFLAG_INVALID) {
    return SslError(absl::StatusCode::kInvalidArgument, "certificate with a malformed extension");
  }
  certificate->is_ca_ = (flags & EXFLAG_CA) != 0;
  return std::shared_ptr<const Certificate>(std::move(certificate));
}

absl::StatusOr<std::vector<std::shared_ptr<const Certificate>>> Certificate::ListFromPem(
    absl::string_view pem) {
  ASSIGN_OR_RETURN(std::vector<std::string> blocks,
                   ParsePem(pem, kPemLabel, "certificate", kMaxPemSize));
  std::vector<CertificatePtr> certificates;
  for (const std::string& der : blocks) {
    absl::StatusOr<CertificatePtr> certificate = FromDer(der);
    if (!certificate.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("PEM certificate ", certificates.size() + 1,
                                                     ": ", certificate.status().message()));
    }
    certificates.push_back(*std::move(certificate));
  }
  return certificates;
}

std::string Certificate::ToPem() const { return byrnie::ToPem(der_, kPemLabel); }

std::string Certificate::SerialHex() const {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(x509_.get());
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                        static_cast<size_t>(ASN1_STRING_length(serial))));
  return hex.empty() ? "00" : hex;
}

std::string Certificate::FingerprintHex() const { return Sha256FingerprintHex(der_); }

std::string Certificate::Subject() const { return NameText(X509_get_subject_name(x509_.get())); }

bool Certificate::MatchesKey(const IssuerKey& key) const {
  const EVP_PKEY* own = X509_get0_pubkey(x509_.get());
  const bool matches = own != nullptr && EVP_PKEY_cmp(own, key.native()) == 1;
  if (!matches) DrainSslErrors();
  return matches;
}

bool Certificate::IsForHost(const std::string& host) const {
  // The call for addresses tells that a text is none by an error.
  const bool matches = X509_check_host(x509_.get(), host.data(), host.size(),
                                       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1 ||
                       X509_check_ip_asc(x509_.get(), host.c_str(), 0) == 1;
  if (!matches) DrainSslErrors();
  return matches;
}

}  // namespace byrnie
