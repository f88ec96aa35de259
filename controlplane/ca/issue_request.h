#ifndef BYRNIE_CONTROLPLANE_CA_ISSUE_REQUEST_H_
#define BYRNIE_CONTROLPLANE_CA_ISSUE_REQUEST_H_

#include "absl/status/statusor.h"
#include "byrnie/ca/v1/ca.pb.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/ca/certificate_request.h"
#include "istio/v1/auth/ca.pb.h"

namespace byrnie {

// What the messages of the protocols ask for. Hostile input; InvalidArgument says what is wrong.
// The CSR is not looked into.

absl::StatusOr<CertificateRequest> ReadIssueRequest(const byrnie::ca::v1::IssueRequest& request);

// PermissionDenied: it wants the certificate of somebody else, as a proxy of a whole node does. A
// signer of its choice is InvalidArgument: it would get another one's certificate.
absl::StatusOr<CertificateRequest> ReadIstioRequest(
    const istio::v1::auth::IstioCertificateRequest& request, const SpiffeId& caller);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_ISSUE_REQUEST_H_
