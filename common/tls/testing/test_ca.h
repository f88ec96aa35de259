#ifndef BYRNIE_COMMON_TLS_TESTING_TEST_CA_H_
#define BYRNIE_COMMON_TLS_TESTING_TEST_CA_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// A certificate with its key and what lies above it.
struct TestIdentity {
  CertificateChain chain;  // Leaf first, without the root.
  std::shared_ptr<const PrivateKey> key;
};

// A certificate authority in memory, for tests: a root or, made by MakeIntermediate, one below it.
// Issues good SVIDs and, through the spec, ones with any defect. Fails the process when it is asked
// for the impossible.
class TestCa {
 public:
  // A self-signed root that lives from `start` - 1 h to `start` + 10 years.
  TestCa(absl::string_view trust_domain, absl::Time start);

  // A CA below this one. Change `spec`, from IntermediateSpec(), for one with a defect.
  TestCa MakeIntermediate(const CertificateSpec& spec) const;
  CertificateSpec IntermediateSpec() const;

  // A good SVID for "spiffe://TRUST-DOMAIN" + `path`, valid from `start` - 1 min for `lifetime`.
  TestIdentity IssueSvid(absl::string_view path, absl::Duration lifetime = absl::Hours(1)) const;
  // The spec of a good SVID, to be broken, and what comes of it.
  CertificateSpec SvidSpec(absl::string_view path) const;
  TestIdentity Issue(const CertificateSpec& spec) const;

  // The root that the chain ends in.
  const CertificatePtr& root() const { return root_; }
  const CertificatePtr& certificate() const { return certificate_; }
  const PrivateKey& key() const { return *key_; }
  // The trust domain's bundle with this root alone.
  TrustBundleSet Bundles() const;

 private:
  TestCa() = default;
  std::string trust_domain_;
  absl::Time start_;
  std::shared_ptr<const PrivateKey> key_;
  CertificatePtr certificate_;
  CertificatePtr root_;
  CertificateChain above_;  // From this CA up, without the root.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_TEST_CA_H_
