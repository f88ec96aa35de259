#ifndef BYRNIE_CONTROLPLANE_CA_VOUCHED_PATH_H_
#define BYRNIE_CONTROLPLANE_CA_VOUCHED_PATH_H_

#include <vector>

#include "absl/status/status.h"
#include "common/crypto/revocation_list.h"
#include "controlplane/ca/signing_authority.h"

namespace byrnie {

// Whether what `signer` issues is accepted once there are lists of its own: that an intermediate is
// good only the list of the certificate above it can say, and the keys above are elsewhere. OK
// where each certificate between it and the root has a list of its issuer among `lists`, be that
// current or not: one that has ended is replaced. FailedPrecondition names the one that has none.
absl::Status CheckPathIsVouchedFor(const SigningAuthority& signer,
                                   const std::vector<RevocationListPtr>& lists);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_VOUCHED_PATH_H_
