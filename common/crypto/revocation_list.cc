#include "common/crypto/revocation_list.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/name_text.h"
#include "common/crypto/pem.h"
#include "common/crypto/ssl_error.h"
#include "openssl/asn1.h"
#include "openssl/bytestring.h"
#include "openssl/digest.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/posix_time.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr absl::string_view kPemLabel = "X509 CRL";
// A file of several lists, in base64.
constexpr size_t kMaxPemSize = 4 * 1024 * 1024;
constexpr size_t kMaxSigners = 8;
constexpr uint64_t kVersion2 = 1;
constexpr CBS_ASN1_TAG kExtensionsTag = CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0;

// Which algorithms are taken, as the whole AlgorithmIdentifier with its parameters (RFC 5758, RFC
// 4055). Weak hashes are not among them.
struct Algorithm {
  absl::string_view der;
  int key_type;
  const EVP_MD* (*digest)();
};
constexpr Algorithm kAlgorithms[] = {
    {{"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12}, EVP_PKEY_EC, EVP_sha256},
    {{"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03", 12}, EVP_PKEY_EC, EVP_sha384},
    {{"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04", 12}, EVP_PKEY_EC, EVP_sha512},
    {{"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00", 15},
     EVP_PKEY_RSA,
     EVP_sha256},
    {{"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00", 15},
     EVP_PKEY_RSA,
     EVP_sha384},
    {{"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00", 15},
     EVP_PKEY_RSA,
     EVP_sha512},
};

// A SEQUENCE of more than 127 bytes, as every signed one is; no text begins so.
bool BeginsAsDer(absl::string_view contents) {
  return contents.size() > 1 && contents[0] == '\x30' && static_cast<uint8_t>(contents[1]) >= 0x80;
}

const Algorithm* FindAlgorithm(absl::string_view der) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.der == der) return &algorithm;
  }
  return nullptr;
}

absl::string_view View(const CBS& cbs) {
  return {reinterpret_cast<const char*>(CBS_data(&cbs)), CBS_len(&cbs)};
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("revocation list with a malformed ", what));
}

absl::StatusOr<absl::Time> ReadTime(CBS* in, absl::string_view name) {
  CBS content;
  CBS_ASN1_TAG tag;
  struct tm fields;
  time_t seconds;
  const bool read =
      CBS_get_any_asn1(in, &content, &tag) &&
      (tag == CBS_ASN1_UTCTIME           ? CBS_parse_utc_time(&content, &fields, 0)
       : tag == CBS_ASN1_GENERALIZEDTIME ? CBS_parse_generalized_time(&content, &fields, 0)
                                         : 0) &&
      OPENSSL_timegm(&fields, &seconds);
  if (!read) return Malformed(name);
  return absl::FromUnixSeconds(seconds);
}

std::string OidText(const CBS& oid) {
  bssl::UniquePtr<char> text(CBS_asn1_oid_to_text(&oid));
  return text ? std::string(text.get()) : "unknown";
}

// Reads Extensions (RFC 5280 section 4.1) and refuses what changes the meaning of the list: every
// critical one, and these two also where a careless issuer has not marked them so.
absl::Status CheckExtensions(CBS in, absl::string_view of) {
  // 2.5.29.27 deltaCRLIndicator, 2.5.29.28 issuingDistributionPoint.
  constexpr absl::string_view kDelta = "\x55\x1d\x1b", kPartial = "\x55\x1d\x1c";
  CBS list;
  if (!CBS_get_asn1(&in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0) return Malformed(of);
  while (CBS_len(&list) > 0) {
    CBS extension, oid, value;
    int critical = 0;
    if (!CBS_get_asn1(&list, &extension, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&extension, &oid, CBS_ASN1_OBJECT) ||
        (CBS_peek_asn1_tag(&extension, CBS_ASN1_BOOLEAN) &&
         !CBS_get_asn1_bool(&extension, &critical)) ||
        !CBS_get_asn1(&extension, &value, CBS_ASN1_OCTETSTRING) || CBS_len(&extension) != 0) {
      return Malformed(of);
    }
    if (View(oid) == kDelta) return absl::InvalidArgumentError("a delta revocation list");
    if (View(oid) == kPartial) {
      return absl::InvalidArgumentError(
          "revocation list for a part of its issuer's certificates (issuingDistributionPoint)");
    }
    if (critical) {
      return absl::InvalidArgumentError(absl::StrCat("revocation list with the critical extension ",
                                                     OidText(oid), " in its ", of));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<absl::string_view>> ReadEntries(CBS in) {
  std::vector<absl::string_view> serials;
  while (CBS_len(&in) > 0) {
    CBS entry, serial;
    if (!CBS_get_asn1(&in, &entry, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&entry, &serial, CBS_ASN1_INTEGER) ||
        !CBS_is_valid_asn1_integer(&serial, nullptr)) {
      return Malformed("entry");
    }
    RETURN_IF_ERROR(ReadTime(&entry, "revocation date").status());
    if (CBS_len(&entry) > 0) RETURN_IF_ERROR(CheckExtensions(entry, "entry"));
    serials.push_back(View(serial));
  }
  std::sort(serials.begin(), serials.end());
  return serials;
}

}  // namespace

RevocationList::RevocationList() = default;
RevocationList::~RevocationList() = default;

absl::StatusOr<std::shared_ptr<const RevocationList>> RevocationList::FromDer(
    absl::string_view der) {
  if (der.size() > kMaxDerSize) {
    return absl::InvalidArgumentError(absl::StrCat("revocation list of ", der.size(),
                                                   " bytes; at most ", kMaxDerSize, " are taken"));
  }
  std::shared_ptr<RevocationList> list(new RevocationList());
  list->der_ = std::string(der);
  RETURN_IF_ERROR(list->Parse());
  return std::shared_ptr<const RevocationList>(std::move(list));
}

absl::Status RevocationList::Parse() {
  CBS in, all, algorithm, signature;
  CBS_init(&in, reinterpret_cast<const uint8_t*>(der_.data()), der_.size());
  CBS body, inner_algorithm, name;
  uint8_t unused_bits;
  if (!CBS_get_asn1(&in, &all, CBS_ASN1_SEQUENCE)) {
    return absl::InvalidArgumentError("not a revocation list");
  }
  if (CBS_len(&in) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(CBS_len(&in), " bytes after the revocation list"));
  }
  CBS with_header;
  if (!CBS_get_asn1_element(&all, &with_header, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1_element(&all, &algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&all, &signature, CBS_ASN1_BITSTRING) || CBS_len(&all) != 0 ||
      !CBS_get_u8(&signature, &unused_bits) || unused_bits != 0) {
    return absl::InvalidArgumentError("not a revocation list");
  }
  signed_ = View(with_header);
  algorithm_ = View(algorithm);
  signature_ = View(signature);

  uint64_t version = 0;
  if (!CBS_get_asn1(&with_header, &body, CBS_ASN1_SEQUENCE)) return Malformed("body");
  if (!CBS_peek_asn1_tag(&body, CBS_ASN1_INTEGER) || !CBS_get_asn1_uint64(&body, &version) ||
      version != kVersion2) {
    return absl::InvalidArgumentError("revocation list that is not of version 2");
  }
  if (!CBS_get_asn1_element(&body, &inner_algorithm, CBS_ASN1_SEQUENCE) ||
      View(inner_algorithm) != algorithm_) {
    return absl::InvalidArgumentError("revocation list with two signature algorithms");
  }
  if (FindAlgorithm(algorithm_) == nullptr) {
    return absl::InvalidArgumentError(
        "revocation list with a signature algorithm that is not taken; use ECDSA or RSA with "
        "SHA-256, SHA-384 or SHA-512");
  }
  if (!CBS_get_asn1_element(&body, &name, CBS_ASN1_SEQUENCE)) return Malformed("issuer");
  const uint8_t* at = CBS_data(&name);
  issuer_name_.reset(d2i_X509_NAME(nullptr, &at, static_cast<long>(CBS_len(&name))));
  if (!issuer_name_ || at != CBS_data(&name) + CBS_len(&name)) {
    DrainSslErrors();
    return Malformed("issuer");
  }
  issuer_ = NameText(issuer_name_.get()).substr(0, kMaxIssuer);
  ASSIGN_OR_RETURN(this_update_, ReadTime(&body, "thisUpdate"));
  // RFC 5280 section 5.1.2.5: always there. Without it nothing would ever say that the list is old.
  if (!CBS_peek_asn1_tag(&body, CBS_ASN1_UTCTIME) &&
      !CBS_peek_asn1_tag(&body, CBS_ASN1_GENERALIZEDTIME)) {
    return absl::InvalidArgumentError("revocation list without nextUpdate");
  }
  ASSIGN_OR_RETURN(next_update_, ReadTime(&body, "nextUpdate"));
  if (next_update_ <= this_update_) {
    return absl::InvalidArgumentError("revocation list that ends before it begins");
  }
  if (CBS_peek_asn1_tag(&body, CBS_ASN1_SEQUENCE)) {
    CBS entries;
    if (!CBS_get_asn1(&body, &entries, CBS_ASN1_SEQUENCE)) return Malformed("list of entries");
    ASSIGN_OR_RETURN(serials_, ReadEntries(entries));
  }
  if (CBS_len(&body) > 0) {
    CBS extensions;
    if (!CBS_get_asn1(&body, &extensions, kExtensionsTag) || CBS_len(&body) != 0) {
      return Malformed("body");
    }
    RETURN_IF_ERROR(CheckExtensions(extensions, "list"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<const RevocationList>>> RevocationList::ListFromFile(
    absl::string_view contents) {
  std::vector<std::string> ders;
  if (!BeginsAsDer(contents) && absl::StrContains(contents, "-----BEGIN ")) {
    ASSIGN_OR_RETURN(ders, ParsePem(contents, kPemLabel, "revocation list", kMaxPemSize));
  } else {
    ders.emplace_back(contents);
  }
  std::vector<RevocationListPtr> lists;
  for (const std::string& der : ders) {
    ASSIGN_OR_RETURN(RevocationListPtr list, FromDer(der));
    lists.push_back(std::move(list));
  }
  return lists;
}

std::string RevocationList::ToPem() const { return byrnie::ToPem(der_, kPemLabel); }

bool RevocationList::IsIssuedBy(const Certificate& issuer) const {
  X509* const x509 = issuer.native();
  if (X509_NAME_cmp(X509_get_subject_name(x509), issuer_name_.get()) != 0) return false;
  // RFC 5280 section 6.3.3 (f). Absent, the key usage gives 0xffffffff: no restriction.
  if (!(X509_get_key_usage(x509) & X509v3_KU_CRL_SIGN)) return false;
  {
    absl::MutexLock lock(&mu_);
    if (std::find(signers_.begin(), signers_.end(), issuer.der()) != signers_.end()) return true;
  }
  if (!HasSignatureOf(issuer)) return false;
  absl::MutexLock lock(&mu_);
  if (signers_.size() < kMaxSigners) signers_.push_back(issuer.der());
  return true;
}

bool RevocationList::HasSignatureOf(const Certificate& issuer) const {
  EVP_PKEY* const key = X509_get0_pubkey(issuer.native());
  const Algorithm* const algorithm = FindAlgorithm(algorithm_);
  bssl::ScopedEVP_MD_CTX context;
  const bool good =
      key != nullptr && EVP_PKEY_id(key) == algorithm->key_type &&
      EVP_DigestVerifyInit(context.get(), nullptr, algorithm->digest(), nullptr, key) &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const uint8_t*>(signature_.data()),
                       signature_.size(), reinterpret_cast<const uint8_t*>(signed_.data()),
                       signed_.size());
  if (!good) DrainSslErrors();
  return good;
}

bool RevocationList::Lists(const Certificate& certificate) const {
  uint8_t* der = nullptr;
  const int size = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate.native()), &der);
  if (size <= 0) {
    // A serial number that cannot be written is on no list; nobody can vouch for it either.
    DrainSslErrors();
    return true;
  }
  const bssl::UniquePtr<uint8_t> owned(der);
  CBS in, serial;
  CBS_init(&in, der, static_cast<size_t>(size));
  if (!CBS_get_asn1(&in, &serial, CBS_ASN1_INTEGER)) return true;
  return std::binary_search(serials_.begin(), serials_.end(), View(serial));
}

}  // namespace byrnie
