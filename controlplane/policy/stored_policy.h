#ifndef BYRNIE_CONTROLPLANE_POLICY_STORED_POLICY_H_
#define BYRNIE_CONTROLPLANE_POLICY_STORED_POLICY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// A policy as the store has it, under its key "namespace/name".
struct StoredPolicy {
  istio::security::Authorization policy;
  // Who applied it, and when.
  std::string applied_by;
  absl::Time applied_at;
};

// The value of a record.
std::string WriteStoredPolicy(const istio::security::Authorization& policy, absl::string_view who,
                              absl::Time now);
// InvalidArgument says what is wrong with a record that cannot be taken as it was meant.
absl::StatusOr<StoredPolicy> ReadStoredPolicy(absl::string_view key, const std::string& value);

// What is put in force in the place of a record that ReadStoredPolicy refuses and of which nothing
// else is known: a policy of the same name that denies whatever that one may deny. What the record
// still tells of itself narrows it: its scope, and that it allows (then nothing is allowed by it);
// where the scope cannot be told, it is for the whole mesh. Absent for a key that no policy has.
absl::optional<istio::security::Authorization> StandInFor(absl::string_view key,
                                                          const std::string& value);
// For people: "a policy that denies every connection to the pods of namespace demo".
std::string DescribeStandIn(const istio::security::Authorization& stand_in);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_STORED_POLICY_H_
