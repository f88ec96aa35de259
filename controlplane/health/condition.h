#ifndef BYRNIE_CONTROLPLANE_HEALTH_CONDITION_H_
#define BYRNIE_CONTROLPLANE_HEALTH_CONDITION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/certificate.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/health/cluster_health.h"
#include "controlplane/records/unreadable_records.h"
#include "controlplane/store/observed_store.h"
#include "controlplane/trust/root_rotation.h"
#include "controlplane/trust/shared_fleet.h"

namespace byrnie {

// How one thing about the control plane itself is. A value.
struct Condition {
  // The numbers of byrnie.operator.v1.Condition.
  enum class State { kOk = 1, kWarn = 2, kFail = 3 };

  std::string name;  // One of kConditionNames.
  State state = State::kOk;
  std::string message;
  std::string remedy;  // Empty where there is nothing to do.
  // When it was seen like this first.
  absl::Time since = absl::InfinitePast();
};

// All there are, in the order in which they are judged and shown; docs/operations.md says what each
// is about.
inline constexpr const char* kConditionNames[] = {
    "store",
    "stored-records",
    "issuance-log",
    "issuing",
    "root-certificate",
    "ca-certificate",
    "root-rotation",
    "revocation-lists",
    "stored-registry",
    "control-planes",
    "same-roots",
    "same-configuration",
    "unmeshed-pods",
    "opted-out-pods",
    "cluster-policies",
    "injection-webhook",
    "trust-bundle",
    "bundle-file",
    "input-files",
};

// Files that were given, as they are now.
struct InputFiles {
  // Those that are not in force, why each.
  std::vector<std::string> rejected;
  // TrustFiles::WrongInForce().
  std::vector<std::string> wrong_in_force;
};

// What is judged: everything at one moment.
struct HealthFacts {
  struct List {
    std::string trust_domain;
    absl::Time this_update, next_update;
  };

  absl::Time now;
  ObservedStore::Access reads, writes;
  std::vector<UnreadableRecord> unreadable_records;
  IssuanceLog::Backlog issuance_log;
  // Authority::CheckIssues().
  absl::Status issues;
  // How long that is so without the store, and how long at most; infinite: for ever.
  absl::Duration issuing_left = absl::InfiniteDuration();
  absl::Duration issues_without_store = absl::InfiniteDuration();
  // Of what signs now.
  CertificatePtr root;
  absl::Time ca_not_before, ca_not_after;
  // Absent: the CA is plugged.
  absl::optional<RotationStatus> rotation;
  std::vector<List> revocation_lists;
  // TrustKeeper::ListsState().
  absl::Status revocation_lists_state;
  // TrustKeeper::IssuedState().
  absl::Status issued_state;
  std::vector<std::string> stored_troubles;
  // What this one is called.
  std::string name;
  // Absent: nobody shares the store.
  absl::optional<absl::StatusOr<std::vector<SharedFleet::Peer>>> peers;
  ClusterHealth cluster;
  // BundleFile::state(). Absent: there is none.
  absl::optional<absl::Status> bundle_file;
  InputFiles input_files;
};

// Each condition, in the order of kConditionNames; since is `now`. Pure.
std::vector<Condition> JudgeHealth(const HealthFacts& facts);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_HEALTH_CONDITION_H_
