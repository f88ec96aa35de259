#ifndef BYRNIE_COMMON_POLICY_AUTHORIZER_H_
#define BYRNIE_COMMON_POLICY_AUTHORIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/policy/connection_facts.h"
#include "common/policy/policy.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
}  // namespace google::protobuf

namespace istio::security {
class Authorization;
}  // namespace istio::security

namespace byrnie {

// All authorization policies of one epoch, validated. Immutable, thread-safe.
class PolicySet {
 public:
  // Converts what the control plane sent. One policy that is not understood as a whole (unknown
  // enum value, unknown field at any depth, malformed value, a name that appears twice) rejects the
  // set, because leaving it or a part of it out could admit somebody: InvalidArgument names
  // "namespace/name" and the field. The caller keeps the last good set, or none, which denies.
  static absl::StatusOr<std::shared_ptr<const PolicySet>> Create(
      uint64_t epoch,
      const google::protobuf::RepeatedPtrField<istio::security::Authorization>& policies);
  // From policies that are valid already. InvalidArgument when a name appears twice.
  static absl::StatusOr<std::shared_ptr<const PolicySet>> Create(uint64_t epoch,
                                                                 std::vector<Policy> policies);

  PolicySet(const PolicySet&) = delete;
  PolicySet& operator=(const PolicySet&) = delete;

  // PolicyUpdate.epoch; part of the tunnel pool's key.
  uint64_t epoch() const { return epoch_; }
  // Sorted by key: what /config_dump shows and the order in which policies are tried.
  const std::vector<Policy>& policies() const { return policies_; }

  // For Authorize: positions in policies() of the mesh-wide policies, of those of one namespace
  // (null: none), and of a policy that a workload lists, by its key (npos: unknown).
  static constexpr size_t npos = static_cast<size_t>(-1);
  const std::vector<size_t>& global() const { return global_; }
  const std::vector<size_t>* OfNamespace(absl::string_view ns) const;
  size_t Find(absl::string_view key) const;

 private:
  PolicySet(uint64_t epoch, std::vector<Policy> policies);

  const uint64_t epoch_;
  const std::vector<Policy> policies_;
  std::vector<size_t> global_;
  absl::flat_hash_map<std::string, std::vector<size_t>> by_namespace_;
  absl::flat_hash_map<std::string, size_t> by_key_;
};

// The workload a connection is for, that is, which policies concern it.
struct WorkloadSelector {
  // Own trust domain; empty: no peer counts as of the same one.
  std::string trust_domain;
  // Kubernetes namespace of the workload.
  std::string ns;
  // "namespace/name" of the policies of scope WORKLOAD_SELECTOR that select it
  // (Workload.authorization_policies). One that the PolicySet does not have denies: it may be a
  // DENY policy that has not arrived yet.
  std::vector<std::string> policies;
};

// The reasons Authorize gives. Those marked with a key are followed by a space and the policy's
// "namespace/name".
namespace decision_reason {
inline constexpr absl::string_view kAllowedBy = "allowed-by";  // + key
inline constexpr absl::string_view kDefaultAllowSameTrustDomain = "default-allow-same-trust-domain";
inline constexpr absl::string_view kDefaultAllowPlaintext = "default-allow-plaintext";
inline constexpr absl::string_view kPolicyDeny = "policy-deny";        // + key
inline constexpr absl::string_view kPolicyMissing = "policy-missing";  // + key
inline constexpr absl::string_view kNoAllowMatch = "no-allow-match";
inline constexpr absl::string_view kNoPolicySnapshot = "no-policy-snapshot";
inline constexpr absl::string_view kPlaintextRefused = "plaintext-refused";
inline constexpr absl::string_view kForeignTrustDomain = "foreign-trust-domain";
}  // namespace decision_reason

// What a dry-run policy would have done to one connection. Never enforced.
struct DryRunResult {
  enum class Effect {
    kWouldDeny,     // A DENY policy that matches, or an ALLOW policy that does not and no other
                    // allows.
    kWouldAllow,    // An ALLOW policy that matches.
    kWouldNotDeny,  // A DENY policy that does not match.
  };
  std::string policy;  // "namespace/name"
  Effect effect = Effect::kWouldNotDeny;
};

struct Decision {
  bool allowed = false;
  // Machine readable, of the closed set above: "policy-deny demo/deny-x".
  std::string reason;
  // One per dry-run policy that concerns the workload, in the order of their keys; empty when the
  // connection was decided before any policy was looked at.
  std::vector<DryRunResult> dry_run;
};

// Decides one connection; also used again for open ones when the policies change. Pure: the same
// arguments give the same answer.
//
// In this order: no PolicySet denies; plaintext where it is not admitted is denied; a selected
// policy that is not there denies; a DENY policy that concerns the workload and matches denies;
// where ALLOW policies concern it, one must match, and for a peer of another trust domain it must
// match by a principal that names that trust domain; where none concerns it, an authenticated peer
// of the workload's own trust domain is allowed, and plaintext where it is admitted. A policy
// concerns a
// workload by its scope: all (GLOBAL), those of its namespace (NAMESPACE), those that list it
// (WORKLOAD_SELECTOR). How a policy matches is said in common/policy/policy.h.
Decision Authorize(const PolicySet* policies, const WorkloadSelector& workload,
                   const ConnectionFacts& facts);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_POLICY_AUTHORIZER_H_
