#ifndef BYRNIE_CONTROLPLANE_CA_TESTING_SELF_SIGNED_H_
#define BYRNIE_CONTROLPLANE_CA_TESTING_SELF_SIGNED_H_

#include <string>

#include "absl/time/time.h"
#include "controlplane/ca/signing_authority.h"

namespace byrnie {

// An authority with a new root of its own, which lives for a year. Fails the process when the
// library does.
AuthoritySnapshotPtr SelfSigned(const std::string& trust_domain, absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_TESTING_SELF_SIGNED_H_
