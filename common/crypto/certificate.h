#ifndef BYRNIE_COMMON_CRYPTO_CERTIFICATE_H_
#define BYRNIE_COMMON_CRYPTO_CERTIFICATE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/issuer_key.h"
#include "openssl/base.h"

namespace byrnie {

// A parsed X.509 certificate (RFC 5280). Immutable, thread-safe. Parsing says nothing about trust:
// see common/identity/svid_verifier.h.
class Certificate {
 public:
  // Larger certificates are refused before they are parsed.
  static constexpr size_t kMaxDerSize = 16 * 1024;

  // Exactly one certificate and nothing after it. InvalidArgument otherwise.
  static absl::StatusOr<std::shared_ptr<const Certificate>> FromDer(absl::string_view der);
  // All certificates of a PEM text, in order; other blocks and garbage between them are
  // InvalidArgument, as is a text with none.
  static absl::StatusOr<std::vector<std::shared_ptr<const Certificate>>> ListFromPem(
      absl::string_view pem);

  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;
  ~Certificate();

  const std::string& der() const { return der_; }
  std::string ToPem() const;
  absl::Time not_before() const { return not_before_; }
  absl::Time not_after() const { return not_after_; }
  // Lower-case hexadecimal without separators.
  std::string SerialHex() const;
  // SHA-256 of the DER, lower-case hexadecimal.
  std::string FingerprintHex() const;
  // RFC 2253 text of the subject, for people.
  std::string Subject() const;
  // All uniformResourceIdentifier SANs, with their exact bytes (embedded NULs included).
  const std::vector<std::string>& uri_sans() const { return uri_sans_; }
  bool MatchesKey(const IssuerKey& key) const;
  // True when a DNS name or IP address among the SANs is `host` (RFC 6125); a subject never counts.
  bool IsForHost(const std::string& host) const;
  bool is_ca() const { return is_ca_; }

  // For common/crypto and common/tls; valid as long as this.
  X509* native() const { return x509_.get(); }

 private:
  Certificate() = default;
  std::string der_;
  bssl::UniquePtr<X509> x509_;
  absl::Time not_before_, not_after_;
  std::vector<std::string> uri_sans_;
  bool is_ca_ = false;
};

using CertificatePtr = std::shared_ptr<const Certificate>;
// Leaf first, then intermediates in order; never the root.
using CertificateChain = std::vector<CertificatePtr>;

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_CERTIFICATE_H_
