#include "common/crypto/revocation_list_builder.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "openssl/asn1.h"
#include "openssl/bn.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

// RFC 5280 section 4.1.2.2.
constexpr size_t kMaxSerialDigits = 40;

bssl::UniquePtr<ASN1_TIME> ToAsn1(absl::Time time) {
  bssl::UniquePtr<ASN1_TIME> result(ASN1_TIME_new());
  if (!result || ASN1_TIME_set_posix(result.get(), absl::ToUnixSeconds(time)) == nullptr) {
    return nullptr;
  }
  return result;
}

absl::StatusOr<bssl::UniquePtr<ASN1_INTEGER>> ParseSerial(const std::string& hex) {
  bool good = !hex.empty() && hex.size() <= kMaxSerialDigits;
  for (char c : hex) good = good && absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (!good) return absl::InvalidArgumentError("a serial number that is not hexadecimal");
  BIGNUM* parsed = nullptr;
  if (!BN_hex2bn(&parsed, hex.c_str())) {
    return SslError(absl::StatusCode::kInternal, "cannot read a serial number");
  }
  const bssl::UniquePtr<BIGNUM> number(parsed);
  bssl::UniquePtr<ASN1_INTEGER> serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  if (!serial) return SslError(absl::StatusCode::kInternal, "cannot read a serial number");
  return serial;
}

absl::Status AddEntry(const RevocationListSpec::Entry& entry, X509_CRL* crl) {
  absl::StatusOr<bssl::UniquePtr<ASN1_INTEGER>> serial = ParseSerial(entry.serial);
  if (!serial.ok()) return serial.status();
  bssl::UniquePtr<X509_REVOKED> revoked(X509_REVOKED_new());
  const bssl::UniquePtr<ASN1_TIME> time = ToAsn1(entry.revoked_at);
  if (!revoked || !time || !X509_REVOKED_set_serialNumber(revoked.get(), serial->get()) ||
      !X509_REVOKED_set_revocationDate(revoked.get(), time.get()) ||
      !X509_CRL_add0_revoked(crl, revoked.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot add to a revocation list");
  }
  revoked.release();  // The list's now.
  return absl::OkStatus();
}

bool AddExtensions(uint64_t number, const Certificate& issuer, X509_CRL* crl) {
  const bssl::UniquePtr<ASN1_INTEGER> value(ASN1_INTEGER_new());
  if (!value || !ASN1_INTEGER_set_uint64(value.get(), number) ||
      !X509_CRL_add1_ext_i2d(crl, NID_crl_number, value.get(), 0, X509V3_ADD_DEFAULT)) {
    return false;
  }
  const ASN1_OCTET_STRING* stated = X509_get0_subject_key_id(issuer.native());
  if (stated == nullptr) return true;
  const bssl::UniquePtr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  if (!authority) return false;
  authority->keyid = ASN1_OCTET_STRING_dup(stated);
  return authority->keyid != nullptr &&
         X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority.get(), 0,
                               X509V3_ADD_DEFAULT);
}

}  // namespace

absl::StatusOr<RevocationListPtr> BuildRevocationList(const RevocationListSpec& spec,
                                                      const Certificate& issuer,
                                                      const IssuerKey& key) {
  if (!issuer.MatchesKey(key)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the signing key is not that of the issuer ", issuer.Subject()));
  }
  const bssl::UniquePtr<X509_CRL> crl(X509_CRL_new());
  const bssl::UniquePtr<ASN1_TIME> this_update = ToAsn1(spec.this_update);
  const bssl::UniquePtr<ASN1_TIME> next_update = ToAsn1(spec.next_update);
  if (!crl || !this_update || !next_update ||
      !X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) ||
      !X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.native())) ||
      !X509_CRL_set1_lastUpdate(crl.get(), this_update.get()) ||
      !X509_CRL_set1_nextUpdate(crl.get(), next_update.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot make a revocation list");
  }
  for (const RevocationListSpec::Entry& entry : spec.revoked) {
    const absl::Status added = AddEntry(entry, crl.get());
    if (!added.ok()) return added;
  }
  uint8_t* der = nullptr;
  if (!AddExtensions(spec.number, issuer, crl.get()) || !X509_CRL_sort(crl.get()) ||
      !X509_CRL_sign(crl.get(), key.native(), key.digest())) {
    return SslError(absl::StatusCode::kInternal, "cannot sign a revocation list");
  }
  const int size = i2d_X509_CRL(crl.get(), &der);
  if (size <= 0) return SslError(absl::StatusCode::kInternal, "cannot encode a revocation list");
  const bssl::UniquePtr<uint8_t> owned(der);
  return RevocationList::FromDer(
      absl::string_view(reinterpret_cast<const char*>(der), static_cast<size_t>(size)));
}

}  // namespace byrnie
