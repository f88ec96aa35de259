#ifndef BYRNIE_CERTAGENT_CA_MESSAGES_H_
#define BYRNIE_CERTAGENT_CA_MESSAGES_H_

#include "absl/status/statusor.h"
#include "byrnie/ca/v1/ca.pb.h"
#include "certagent/ca_client.h"

namespace byrnie {

// From byrnie.ca.v1 to what the agent works with. InvalidArgument names what does not parse;
// nothing is judged.
absl::StatusOr<TrustBundleUpdate> ParseTrustBundles(const ca::v1::TrustBundles& message);
absl::StatusOr<IssuedCertificate> ParseIssueResponse(const ca::v1::IssueResponse& message);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_CA_MESSAGES_H_
