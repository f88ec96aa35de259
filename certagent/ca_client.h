#ifndef BYRNIE_CERTAGENT_CA_CLIENT_H_
#define BYRNIE_CERTAGENT_CA_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/rotation_policy.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// A certificate and its key: what the agent proves to be with. Immutable.
struct ClientIdentity {
  CertificateChain chain;
  std::shared_ptr<const PrivateKey> key;
};
using ClientIdentityPtr = std::shared_ptr<const ClientIdentity>;

// A root that will be taken out of the bundles: certificates of it are to be renewed.
struct TaintedRoot {
  // As Certificate::FingerprintHex.
  std::string id;
  // At a random time within.
  absl::Duration renew_within;
};

// A version of the trust bundles as the authority sent it.
struct TrustBundleUpdate {
  uint64_t version = 0;
  TrustBundleSet bundles;
  std::vector<TaintedRoot> tainted_roots = {};
};

// The authority's answer. Parsed, not judged.
struct IssuedCertificate {
  CertificateChain chain;
  // Absent when the authority sent none; an error when they are broken, which does not spoil the
  // certificate.
  absl::optional<absl::StatusOr<TrustBundleUpdate>> trust_bundles;
  absl::optional<RenewalWindow> renewal_window;
  // The authority's clock.
  absl::optional<absl::Time> authority_time;
};

// What the agent knows of the pod's proxy.
enum class ProxyPresence {
  // None is connected.
  kNone,
  // One is connected, and does not answer.
  kSilent,
  kAnswers,
};

// A certificate authority, whatever it speaks. Lives on the agent's loop; callbacks run there in a
// later turn, and none after the client is destroyed.
class CaClient {
 public:
  using IssueCallback = absl::AnyInvocable<void(absl::StatusOr<IssuedCertificate>)>;
  using BundleCallback = absl::AnyInvocable<void(absl::StatusOr<TrustBundleUpdate>)>;

  virtual ~CaClient() = default;

  // Asks for a certificate, one at a time. The caller proves itself with `identity`, or with its
  // token when that is null. `ttl` zero leaves the life to the authority. `done` runs exactly once
  // and within 15 s: Unauthenticated or PermissionDenied when the proof is not accepted, NotFound
  // when there is no token, Unavailable, DeadlineExceeded or ResourceExhausted when it is worth
  // trying again, InvalidArgument when the answer does not parse. The authority may say when
  // (RetryAfter of the error).
  virtual void Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
                     IssueCallback done) = 0;

  // Follows the trust bundles from now on, as `identity` (null: anonymous), reconnecting by itself.
  // Called again, it moves to the new identity. Bundles that do not parse are reported as errors.
  virtual void WatchTrustBundles(ClientIdentityPtr identity, BundleCallback on_update) = 0;

  // Tells the authority that a version is in force here.
  virtual void AcknowledgeTrustBundles(uint64_t version) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_CA_CLIENT_H_
