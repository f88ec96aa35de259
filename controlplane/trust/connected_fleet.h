#ifndef BYRNIE_CONTROLPLANE_TRUST_CONNECTED_FLEET_H_
#define BYRNIE_CONTROLPLANE_TRUST_CONNECTED_FLEET_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/trust/bundle_file.h"
#include "controlplane/trust/root_rotation.h"

namespace byrnie {

// The fleet as this process sees it: agents with an open stream here, and who got certificates,
// from whatever control plane of the same store. Thread-safe; blocks on the log; the pointers
// outlive it.
class ConnectedFleet final : public FleetSource {
 public:
  // What was issued before `complete_since` is in neither the table nor the log; InfinitePast: all
  // is. No certificate lives longer than `longest_life`. `log` may be null.
  ConnectedFleet(AgentTable* agents, const TrustBundleSource* bundles, const IssuanceLog* log,
                 absl::Time complete_since, absl::Duration longest_life)
      : agents_(agents),
        bundles_(bundles),
        log_(log),
        complete_since_(complete_since),
        longest_life_(longest_life) {}

  // The file that new agents go by, and what this control plane is called. Before all else; without
  // it there is none.
  void SetBundleFile(const BundleFile* file, std::string name) {
    bundle_file_ = file;
    name_ = std::move(name);
  }
  // Whether the certificate with this serial was revoked: nobody takes it, so nobody waits for its
  // end. Before all else; without it none is.
  void SetRevoked(std::function<bool(const std::string& serial)> revoked) {
    revoked_ = std::move(revoked);
  }
  // As BundleFile::WhyWithout, of the next root.
  std::string WhyWithoutFile(const RotationStanding& standing) const {
    return bundle_file_ == nullptr ? "" : bundle_file_->WhyWithout(standing.next_root);
  }

  FleetView View(const RotationStanding& standing, absl::Time now) override {
    return View(standing, {}, now);
  }
  // Of certificates in `acknowledged`, by their serials' prefixes (SerialPrefix), the holders have
  // told somebody else that they have the next root.
  FleetView View(const RotationStanding& standing,
                 const absl::flat_hash_set<uint64_t>& acknowledged, absl::Time now);

  // The agents that are connected, and certificates that were issued before the next root was in
  // the bundles and whose holders have it by now.
  struct Own {
    std::vector<FleetView::Agent> agents;
    std::vector<uint64_t> acknowledged;  // Prefixes, in no order.
  };
  Own LookAtOwn(const RotationStanding& standing, absl::Time now) const;

  // The log has got entries of a time that it was read for already.
  void ReadLogAgain();
  absl::Duration longest_life() const { return longest_life_; }

 private:
  // Takes in what others have issued since the last time, and says from when on all is known.
  // Errors as the log.
  absl::StatusOr<absl::Time> CatchUp(absl::Time now);

  AgentTable* const agents_;                // Not owned.
  const TrustBundleSource* const bundles_;  // Not owned.
  const IssuanceLog* const log_;            // Not owned; may be null.
  const absl::Time complete_since_;
  const absl::Duration longest_life_;
  const BundleFile* bundle_file_ = nullptr;  // Not owned.
  std::string name_;
  std::function<bool(const std::string& serial)> revoked_;
  mutable absl::Mutex mu_;
  // Entries of the last life that cannot be read, by serial, and when they are of; until they can
  // be. Whom one was issued to that is gone nobody knows either.
  absl::flat_hash_map<std::string, absl::Time> unreadable_ ABSL_GUARDED_BY(mu_);
  // The log was read from the beginning then.
  absl::Time read_whole_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  // The log has been read up to there.
  absl::Time read_until_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_CONNECTED_FLEET_H_
