#ifndef BYRNIE_CONTROLPLANE_ATTEST_POD_BINDING_H_
#define BYRNIE_CONTROLPLANE_ATTEST_POD_BINDING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/pod_lookup.h"

namespace byrnie {

// What becomes of a token that comes from elsewhere than its pod.
enum class PodAddressRule {
  kIgnore,
  // It is taken, and written down.
  kRecord,
  kRequire,
};

// Holds a token's pod against the pod that the cluster has under the uid: namespace, name and
// service account are the token's, as is the node where the token names one, and who shows it is at
// an address of the pod or of its node, as some networks have it. Thread-safe; the pointers outlive
// it.
//
// A pod may be quicker than the watch that tells of it, and than its address gets from its kubelet
// to the API server: what is not known refuses nobody, unless the address has to be right, and then
// whoever asks is to come back.
class PodBinding {
 public:
  static constexpr char kUnknownPod[] = "unknown-pod";
  static constexpr char kOtherAddress[] = "other-address";
  // A pod as a token names it; `node` is "" in those of older API servers.
  struct TokenPod {
    std::string uid, name, node;
  };
  // Whom a token is of, once somebody has vouched for it.
  struct Holder {
    SpiffeId id;
    TokenPod pod;
  };
  struct Judgement {
    // By the token or the cluster; "": not known.
    std::string node;
    // What the proof does not prove, for the log: "", kUnknownPod or kOtherAddress.
    absl::string_view lack;
    // The same for people: "" or such as "it comes from 10.9.9.9, ...".
    std::string remark;
  };

  // `pods` may be null: then nothing is known of any.
  PodBinding(PodAddressRule rule, const PodLookup* pods, MetricRegistry* metrics);

  // A refusal (refusal.h) of what does not go together; Unavailable where `rule` needs to know what
  // is not known yet. `source` is where the caller is, absent: it cannot be told.
  absl::StatusOr<Judgement> Judge(const Holder& holder,
                                  const absl::optional<IpAddress>& source) const;

 private:
  absl::Status CheckAddress(const Pod& pod, const absl::optional<IpAddress>& source,
                            Judgement* judgement) const;

  const PodAddressRule rule_;
  const PodLookup* const pods_;  // Not owned; may be null.
  Counter* const at_pod_;
  Counter* const at_node_;
  Counter* const elsewhere_;
  Counter* const unknown_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_POD_BINDING_H_
