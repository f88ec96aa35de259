#ifndef BYRNIE_CONTROLPLANE_SERVER_ROTATING_CREDENTIALS_H_
#define BYRNIE_CONTROLPLANE_SERVER_ROTATING_CREDENTIALS_H_

#include <memory>

#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/server/server_identity.h"
#include "grpcpp/security/server_credentials.h"

namespace byrnie {

// gRPC's TLS settings are the process's. Makes all its connections TLS 1.3: version 1.2 is left
// without a usable cipher suite, because this release of the library has no setting for the lowest
// version. To be called by main before anything of gRPC, once.
void RequireTls13();

// Server credentials whose certificate is `identity`'s current one at every handshake, so that it
// rotates without a restart and without a file. A client certificate is asked for and, where given,
// verified against the trust bundles in force; whether one is needed is the method's decision. The
// pointers outlive the server.
std::shared_ptr<grpc::ServerCredentials> CreateRotatingServerCredentials(
    const ServerIdentity* identity, const TrustBundleSource* bundles);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_SERVER_ROTATING_CREDENTIALS_H_
