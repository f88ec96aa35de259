#ifndef BYRNIE_CTL_FLAGS_H_
#define BYRNIE_CTL_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/secret_bytes.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {

// What the operator wants, checked as far as it can be without the control plane.
struct CtlConfig {
  enum class Command { kCreateToken, kShowStatus, kVerify };
  Command command = Command::kShowStatus;
  std::string control_plane;  // HOST:PORT.
  std::string trust_domain;
  std::string trust_bundle_pem;
  SecretBytes token;
  // To be told before anything is done, in one line; empty: nothing.
  std::string warning;
  std::string identity;  // kCreateToken: a valid SPIFFE ID of the trust domain.
  absl::Duration ttl;    // kCreateToken: more than 0, at most 24 hours.
  bool json = false;     // kShowStatus.
  // kVerify, which needs no control plane: what to judge, by what, and as of when.
  std::vector<std::string> chains;
  TrustBundleSet bundles;
  absl::Time at;
};

// From the command line, which is parsed already, and the files it names; `arguments` are what is
// not a flag. InvalidArgument, or the errors of ReadFile, name the flag and what to do. A trust
// bundle that has expired at `now` is an error.
absl::StatusOr<CtlConfig> CtlConfigFromFlags(const std::vector<std::string>& arguments,
                                             absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CTL_FLAGS_H_
