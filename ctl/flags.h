#ifndef BYRNIE_CTL_FLAGS_H_
#define BYRNIE_CTL_FLAGS_H_

#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/secret_bytes.h"
#include "common/grpc/control_plane_channel.h"
#include "common/identity/trust_bundle.h"

// Those of one command; its function reads them.
ABSL_DECLARE_FLAG(std::string, identity);
ABSL_DECLARE_FLAG(std::string, operator);
ABSL_DECLARE_FLAG(std::string, role);
ABSL_DECLARE_FLAG(bool, join);
ABSL_DECLARE_FLAG(absl::Duration, ttl);
ABSL_DECLARE_FLAG(std::string, file);
ABSL_DECLARE_FLAG(std::string, expect);
ABSL_DECLARE_FLAG(bool, accept);
ABSL_DECLARE_FLAG(bool, accept_unknown);
ABSL_DECLARE_FLAG(bool, only);
ABSL_DECLARE_FLAG(std::string, namespace);
ABSL_DECLARE_FLAG(bool, follow);
ABSL_DECLARE_FLAG(std::string, cursor);
ABSL_DECLARE_FLAG(std::string, kinds);
ABSL_DECLARE_FLAG(bool, probe);
ABSL_DECLARE_FLAG(std::string, source_admin);
ABSL_DECLARE_FLAG(std::string, destination_admin);
ABSL_DECLARE_FLAG(std::string, step);
ABSL_DECLARE_FLAG(std::vector<std::string>, exclude);
ABSL_DECLARE_FLAG(bool, dry_run);
ABSL_DECLARE_FLAG(bool, wait);
ABSL_DECLARE_FLAG(absl::Duration, timeout);
ABSL_DECLARE_FLAG(std::string, reason);
ABSL_DECLARE_FLAG(std::string, since);
ABSL_DECLARE_FLAG(std::string, until);
ABSL_DECLARE_FLAG(std::string, serial);
ABSL_DECLARE_FLAG(std::string, admin);
ABSL_DECLARE_FLAG(std::string, pods);
ABSL_DECLARE_FLAG(std::string, verdict);
ABSL_DECLARE_FLAG(std::string, delete);
ABSL_DECLARE_FLAG(std::string, injector_config);
ABSL_DECLARE_FLAG(std::string, image);
ABSL_DECLARE_FLAG(std::vector<std::string>, image_pull_secret);
ABSL_DECLARE_FLAG(std::string, architecture);
ABSL_DECLARE_FLAG(std::string, memory_limit);
ABSL_DECLARE_FLAG(std::string, memory_request);
ABSL_DECLARE_FLAG(std::string, cpu_request);
ABSL_DECLARE_FLAG(std::string, volume_size);
ABSL_DECLARE_FLAG(std::string, storage_class);
ABSL_DECLARE_FLAG(std::string, revision);
ABSL_DECLARE_FLAG(std::string, sidecars);
ABSL_DECLARE_FLAG(absl::Duration, within);
ABSL_DECLARE_FLAG(bool, started);
ABSL_DECLARE_FLAG(bool, gone);
ABSL_DECLARE_FLAG(std::string, trust_domain);
ABSL_DECLARE_FLAG(std::string, kubeconfig);
ABSL_DECLARE_FLAG(std::string, context);
ABSL_DECLARE_FLAG(std::string, overlay);
ABSL_DECLARE_FLAG(std::string, manifests);
ABSL_DECLARE_FLAG(std::string, etcd);
ABSL_DECLARE_FLAG(bool, force);
ABSL_DECLARE_FLAG(bool, purge);
ABSL_DECLARE_FLAG(bool, pre);

namespace byrnie {

// How to reach the control plane, and as whom: the flags of every command that talks to it. Where
// one is neither on the command line nor in --config, the environment may have it: BYRNIE_TOKEN for
// --token, and so on.
inline constexpr absl::string_view kConnectionFlags[] = {
    "control_plane", "trust_bundle", "token", "cert", "key", "trust_domain"};

// Takes the environment's values for those flags; before the command line is parsed, which wins.
// InvalidArgument names the variable.
absl::Status ApplyEnvironment();

// Writes "-o" and "-f" out, as the parser knows them: "--output", "--file"; also with the value
// joined to it, "-ojson".
std::vector<std::string> ExpandShortFlags(absl::Span<const char* const> args);

// What those flags say, checked as far as it can be without the control plane.
struct ConnectionOptions {
  std::vector<std::string> control_planes;  // HOST:PORT each; at least one.
  std::string trust_domain;
  std::string trust_bundle_pem;
  // One of the two is there; a token counts before a certificate.
  SecretBytes token;
  absl::optional<ControlPlaneClientIdentity> identity;
  // To be told before anything is done, in one line; empty: nothing.
  std::string warning;
};

// InvalidArgument, or the errors of ReadFile, name the flag and what to do. A trust bundle that has
// expired at `now` is an error. Unauthenticated: so has the certificate of --cert.
absl::StatusOr<ConnectionOptions> ReadConnectionOptions(absl::Time now);

// --output: InvalidArgument unless it is text or json.
absl::StatusOr<bool> WantsJson();

// For "verify", which needs no control plane: by what to judge, and as of when.
struct VerifyOptions {
  TrustBundleSet bundles;
  absl::Time at;
};
absl::StatusOr<VerifyOptions> ReadVerifyOptions(absl::Time now);

// InvalidArgument, "--FLAG: WHAT".
absl::Status InFlag(absl::string_view flag, absl::string_view what);

}  // namespace byrnie

#endif  // BYRNIE_CTL_FLAGS_H_
