#ifndef BYRNIE_COMMON_CRYPTO_REVOCATION_LIST_H_
#define BYRNIE_COMMON_CRYPTO_REVOCATION_LIST_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "openssl/base.h"

namespace byrnie {

// A certificate revocation list (RFC 5280 section 5): a complete, direct CRL of version 2. Delta
// lists, indirect ones, ones that cover a part of what their issuer has issued, and whatever else
// has a critical extension are refused, because what such a list does not say would be taken for
// good. Immutable, thread-safe. Parsing says nothing about trust: see IsIssuedBy.
class RevocationList {
 public:
  // Larger lists are refused before they are parsed.
  static constexpr size_t kMaxDerSize = 1024 * 1024;
  // Of issuer(), which is cut there.
  static constexpr size_t kMaxIssuer = 256;

  // Exactly one list and nothing after it. InvalidArgument otherwise.
  static absl::StatusOr<std::shared_ptr<const RevocationList>> FromDer(absl::string_view der);
  // What a file holds: PEM blocks "X509 CRL", at least one, or the DER of one list.
  static absl::StatusOr<std::vector<std::shared_ptr<const RevocationList>>> ListFromFile(
      absl::string_view contents);

  RevocationList(const RevocationList&) = delete;
  RevocationList& operator=(const RevocationList&) = delete;
  ~RevocationList();

  const std::string& der() const { return der_; }
  std::string ToPem() const;
  // RFC 2253 text of the issuer's name, for people.
  const std::string& issuer() const { return issuer_; }
  absl::Time this_update() const { return this_update_; }
  absl::Time next_update() const { return next_update_; }
  // How many certificates it revokes.
  size_t size() const { return serials_.size(); }

  // True when `issuer` has this list's issuer's name, may sign lists, and has signed this one.
  bool IsIssuedBy(const Certificate& issuer) const;
  // True when it lists the serial number of `certificate`, which is of the list's issuer.
  bool Lists(const Certificate& certificate) const;

 private:
  RevocationList();
  absl::Status Parse();
  bool HasSignatureOf(const Certificate& issuer) const;

  std::string der_;
  // What follows is borrowed from der_.
  absl::string_view signed_;  // The TBSCertList, with its header.
  absl::string_view algorithm_;
  absl::string_view signature_;
  std::vector<absl::string_view> serials_;  // Sorted; the content of each INTEGER.

  bssl::UniquePtr<X509_NAME> issuer_name_;
  std::string issuer_;
  absl::Time this_update_, next_update_;

  // Certificates that are known to have signed it, DER: a handshake does not pay for hashing the
  // list again. Only certificates that a verified path holds are asked about, and few are kept.
  mutable absl::Mutex mu_;
  mutable std::vector<std::string> signers_ ABSL_GUARDED_BY(mu_);
};

using RevocationListPtr = std::shared_ptr<const RevocationList>;

}  // namespace byrnie

#endif  // BYRNIE_COMMON_CRYPTO_REVOCATION_LIST_H_
