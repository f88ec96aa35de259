#ifndef BYRNIE_CTL_CLIENT_IDENTITY_H_
#define BYRNIE_CTL_CLIENT_IDENTITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/grpc/control_plane_channel.h"

namespace byrnie {

// Reads what an operator proves itself with: a chain of certificates, leaf first, and the leaf's
// private key, PKCS#8, both PEM. InvalidArgument, or the errors of ReadFile, name the flag and what
// to do, and quote nothing of the key. Unauthenticated: the leaf has ended at `now`.
absl::StatusOr<ControlPlaneClientIdentity> ReadClientIdentity(const std::string& cert_path,
                                                              const std::string& key_path,
                                                              absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CTL_CLIENT_IDENTITY_H_
