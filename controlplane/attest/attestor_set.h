#ifndef BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_SET_H_
#define BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_SET_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/telemetry/metrics.h"
#include "controlplane/attest/attestor.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/store/store.h"

namespace byrnie {

// All attestors of a control plane: finds the one that knows a credential's kind, and counts what
// becomes of it, by attestor and reason. Thread-safe as they are.
class AttestorSet {
 public:
  // A claim, and who has to redeem it.
  struct Proven {
    Attestor::Claim claim;
    size_t attestor;
  };

  // They are asked in this order; not owned, and with the metrics they outlive the set.
  AttestorSet(std::vector<Attestor*> attestors, MetricRegistry* metrics);

  // As Attestor, but that a credential of no known kind is refused as well.
  absl::StatusOr<Proven> Check(absl::string_view credential, const Attestor::Caller& caller) const;
  absl::StatusOr<bool> RedeemNoting(const Proven& proven, const StoreEntry& note) const;
  void Restore(const Proven& proven) const;

 private:
  struct Member {
    Attestor* attestor;  // Not owned.
    Counter* accepted;
    Counter* failed;
    std::vector<Counter*> refused;  // By reason.
  };
  static void Count(const Member& member, const absl::Status& status);

  std::vector<Member> members_;
  Counter* const unrecognized_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_ATTESTOR_SET_H_
