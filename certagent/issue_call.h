#ifndef BYRNIE_CERTAGENT_ISSUE_CALL_H_
#define BYRNIE_CERTAGENT_ISSUE_CALL_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "certagent/ca_client.h"
#include "certagent/token_file.h"
#include "grpcpp/client_context.h"

namespace byrnie {

// Gives a call for a certificate, in whatever protocol, its deadline, `patience` from now, and,
// where `identity` is null, the token as "authorization: Bearer TOKEN". Errors as TokenFile::Read.
absl::Status PrepareIssueCall(const ClientIdentityPtr& identity, const TokenFile& token,
                              absl::Time now, absl::Duration patience,
                              grpc::ClientContext* context);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ISSUE_CALL_H_
