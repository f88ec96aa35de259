#include "common/tls/testing/test_crl.h"

#include <cstdint>
#include <utility>

#include "common/base/check.h"
#include "openssl/asn1.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/obj.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

bssl::UniquePtr<ASN1_TIME> ToAsn1(absl::Time time) {
  bssl::UniquePtr<ASN1_TIME> result(ASN1_TIME_new());
  CHECK(ASN1_TIME_set_posix(result.get(), absl::ToUnixSeconds(time)) != nullptr);
  return result;
}

bssl::UniquePtr<X509_EXTENSION> MakeExtension(const std::string& oid, bool critical) {
  bssl::UniquePtr<ASN1_OBJECT> object(OBJ_txt2obj(oid.c_str(), /*dont_search_names=*/1));
  bssl::UniquePtr<ASN1_OCTET_STRING> value(ASN1_OCTET_STRING_new());
  const uint8_t empty[] = {0x30, 0x00};
  CHECK(object && ASN1_OCTET_STRING_set(value.get(), empty, sizeof(empty)));
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), critical, value.get()));
  CHECK(extension);
  return extension;
}

bssl::UniquePtr<X509_REVOKED> MakeEntry(const TestCrlSpec& spec, const Certificate& revoked) {
  bssl::UniquePtr<X509_REVOKED> entry(X509_REVOKED_new());
  bssl::UniquePtr<ASN1_INTEGER> serial(ASN1_INTEGER_dup(X509_get0_serialNumber(revoked.native())));
  CHECK(X509_REVOKED_set_serialNumber(entry.get(), serial.get()));
  CHECK(X509_REVOKED_set_revocationDate(entry.get(), ToAsn1(spec.this_update).get()));
  for (const std::string& oid : spec.critical_entry_extensions) {
    CHECK(X509_REVOKED_add_ext(entry.get(), MakeExtension(oid, true).get(), -1));
  }
  return entry;
}

}  // namespace

std::string MakeCrlDer(const TestCrlSpec& spec, const Certificate& issuer, const PrivateKey& key) {
  bssl::UniquePtr<X509_CRL> crl(X509_CRL_new());
  if (!spec.version_1) CHECK(X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2));
  CHECK(X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.native())));
  CHECK(X509_CRL_set1_lastUpdate(crl.get(), ToAsn1(spec.this_update).get()));
  if (spec.next_update.has_value()) {
    CHECK(X509_CRL_set1_nextUpdate(crl.get(), ToAsn1(*spec.next_update).get()));
  }
  for (const CertificatePtr& revoked : spec.revoked) {
    CHECK(X509_CRL_add0_revoked(crl.get(), MakeEntry(spec, *revoked).release()));
  }
  for (const std::string& oid : spec.extensions) {
    CHECK(X509_CRL_add_ext(crl.get(), MakeExtension(oid, false).get(), -1));
  }
  for (const std::string& oid : spec.critical_extensions) {
    CHECK(X509_CRL_add_ext(crl.get(), MakeExtension(oid, true).get(), -1));
  }
  CHECK(X509_CRL_sign(crl.get(), key.native(), spec.sha1 ? EVP_sha1() : EVP_sha256()));
  uint8_t* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  CHECK(size > 0);
  const bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

RevocationListPtr MakeCrl(const Certificate& issuer, const PrivateKey& key, absl::Time now,
                          std::vector<CertificatePtr> revoked) {
  TestCrlSpec spec;
  spec.this_update = now - absl::Hours(1);
  spec.next_update = now + absl::Hours(1);
  spec.revoked = std::move(revoked);
  absl::StatusOr<RevocationListPtr> list = RevocationList::FromDer(MakeCrlDer(spec, issuer, key));
  CHECK_OK(list);
  return *std::move(list);
}

}  // namespace byrnie
