#ifndef BYRNIE_COMMON_CRYPTO_CERTIFICATE_BUILDER_H_
#define BYRNIE_COMMON_CRYPTO_CERTIFICATE_BUILDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/issuer_key.h"

namespace byrnie {

// What a certificate is to say. The serial is 16 random bytes (RFC 5280 section 4.1.2.2).
struct CertificateSpec {
  // CN of the subject; empty gives an empty subject and a critical subjectAltName, as X509-SVID
  // wants.
  std::string common_name;
  // subjectAltName entries of type URI; a valid SVID has exactly one.
  std::vector<std::string> uri_sans;
  // subjectAltName entries of type dNSName.
  std::vector<std::string> dns_sans;
  // subjectAltName entries of type iPAddress: 4 or 16 bytes each.
  std::vector<std::string> ip_sans;
  absl::Time not_before;
  absl::Time not_after;
  // basicConstraints cA with keyCertSign and cRLSign; otherwise digitalSignature and both TLS EKUs.
  bool is_ca = false;
  // pathLenConstraint of a CA; negative for none.
  int path_length = -1;
  // What follows is for making certificates that a verifier must refuse.
  // Extended key usages of a leaf; with neither the extension is left out.
  bool server_auth = true;
  bool client_auth = true;
  bool omit_key_usage = false;
  bool key_usage_cert_sign = false;  // Adds keyCertSign to a leaf.
  bool key_usage_crl_sign = false;   // Adds cRLSign to a leaf.
  bool key_usage_not_critical = false;
  bool omit_digital_signature = false;  // keyAgreement instead.
  bool omit_cert_sign = false;          // Leaves keyCertSign out of a CA.
  bool omit_crl_sign = false;           // Leaves cRLSign out of a CA.
  bool san_not_critical = false;        // Also with an empty subject.
  bool omit_key_ids = false;            // Neither subject nor authority key identifier.
  bool sha1 = false;                    // The signature's hash.
  // subjectAltName entries of type rfc822Name.
  std::vector<std::string> email_sans;
  // Added as they are, after all others.
  struct RawExtension {
    std::string oid;  // "1.2.3"
    bool critical;
    std::string der;
  };
  std::vector<RawExtension> raw_extensions;
};

// Makes and signs a certificate for the key `subject_public_key` (SubjectPublicKeyInfo, DER) with
// the issuer's key and its digest(). `issuer` null makes it self-signed: issuer name = subject.
// InvalidArgument names what is wrong with the spec.
absl::StatusOr<CertificatePtr> BuildCertificate(const CertificateSpec& spec,
                                                absl::string_view subject_public_key,
                                                const Certificate* issuer,
                                                const IssuerKey& issuer_key);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_CERTIFICATE_BUILDER_H_
