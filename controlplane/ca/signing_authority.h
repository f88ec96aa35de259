#ifndef BYRNIE_CONTROLPLANE_CA_SIGNING_AUTHORITY_H_
#define BYRNIE_CONTROLPLANE_CA_SIGNING_AUTHORITY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/issuer_key.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// What certificates are signed with: an issuer's certificate and key, and the way from it to a
// root. Immutable, thread-safe; holds a CA key.
class SigningAuthority {
 public:
  // `key` is that of the first certificate of `intermediates`, or of `root` where there are none.
  // What it will sign has been looked at as every proxy will look at it: a certificate was made on
  // trial and verified at `now` (VerifySvid). InvalidArgument says what is wrong with the
  // certificates, that one has expired included; that one is not valid yet is no fault.
  // `hosts` are host names and IP addresses that some of it will be for, too.
  static absl::StatusOr<std::shared_ptr<const SigningAuthority>> Create(
      absl::string_view trust_domain, CertificatePtr root, CertificateChain intermediates,
      std::shared_ptr<const IssuerKey> key, absl::Time now,
      const std::vector<std::string>& hosts = {});

  // Signs what has an identity and is to live within these times, cut to those of the path, for
  // the P-256 key `public_key_der` (SubjectPublicKeyInfo); `hosts` are host names and IP addresses
  // it is for, too. Leaf first, then the intermediates.
  // FailedPrecondition: a certificate of the path has expired at `not_before`, or nothing is left.
  absl::StatusOr<CertificateChain> Sign(const SpiffeId& id, absl::string_view public_key_der,
                                        absl::Time not_before, absl::Time not_after,
                                        const std::vector<std::string>& hosts = {}) const;

  const CertificatePtr& root() const { return root_; }
  // From the one whose key signs up; none where that is the root.
  const CertificateChain& intermediates() const { return intermediates_; }
  // SHA-256 of the root, lower-case hexadecimal.
  const std::string& root_id() const { return root_id_; }
  // The certificate whose key signs: the root, or the first intermediate.
  const Certificate& issuer() const { return intermediates_.empty() ? *root_ : *intermediates_[0]; }
  const IssuerKey& key() const { return *key_; }
  // The one that was made on trial, the intermediates and the root: what a peer judges by lists.
  std::vector<const Certificate*> TrialPath() const;
  // While all of the path is valid.
  absl::Time not_before() const { return not_before_; }
  absl::Time not_after() const { return not_after_; }

 private:
  SigningAuthority(CertificatePtr root, CertificateChain intermediates,
                   std::shared_ptr<const IssuerKey> key);
  absl::Status Try(absl::string_view trust_domain, absl::Time now,
                   const std::vector<std::string>& hosts);

  const CertificatePtr root_;
  const CertificateChain intermediates_;
  const std::shared_ptr<const IssuerKey> key_;
  const std::string root_id_;
  absl::Time not_before_, not_after_;
  CertificatePtr trial_;
};

using SigningAuthorityPtr = std::shared_ptr<const SigningAuthority>;

// All of an authority at one moment: who signs and whom everybody trusts. Immutable; published as a
// whole, by one pointer.
struct AuthoritySnapshot {
  std::string trust_domain;
  // Signs the certificates of workloads.
  SigningAuthorityPtr signer;
  // Signs the control plane's own.
  SigningAuthorityPtr server_signer;
  // All that certificates in use may be of, the two among them: revocation lists need each.
  std::vector<SigningAuthorityPtr> authorities;
  // Of the trust domain, at least one; those of the two signers among them.
  std::vector<CertificatePtr> roots;
  // A root whose certificates are to be renewed now, by its id; empty: none.
  std::string tainted_root;
};
using AuthoritySnapshotPtr = std::shared_ptr<const AuthoritySnapshot>;

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_SIGNING_AUTHORITY_H_
