#ifndef BYRNIE_CTL_INSTALL_EXEC_CREDENTIAL_H_
#define BYRNIE_CTL_INSTALL_EXEC_CREDENTIAL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/secret_bytes.h"
#include "controlplane/kubernetes/api_server.h"

namespace byrnie {

// Runs the exec plugin of a kubeconfig (client.authentication.k8s.io) as kubectl does, and puts
// what it says into the server's token or client certificate. It has this process's environment,
// stderr and, where it may ask, stdin. FailedPrecondition when it cannot be run, fails, takes more
// than five minutes, or says no credential; nothing of what it says is quoted.
absl::Status RunExecPlugin(ApiServer* server);

// Takes an ExecCredential, as a plugin writes it. InvalidArgument, quoting nothing of it.
absl::Status TakeExecCredential(absl::string_view json, ApiServer* server);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_EXEC_CREDENTIAL_H_
