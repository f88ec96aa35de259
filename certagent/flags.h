#ifndef BYRNIE_CERTAGENT_FLAGS_H_
#define BYRNIE_CERTAGENT_FLAGS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/proof_order.h"
#include "certagent/sink/file_sink.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/identity/trust_files.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"

namespace byrnie {

// The agent's configuration, checked: what a flag can say wrong has been said.
struct AgentConfig {
  // "HOST:PORT", each; at least one.
  std::vector<std::string> control_planes;
  // The protocol of the certificate authority.
  enum class Ca { kByrnie, kIstio };
  Ca ca = Ca::kByrnie;
  // Where it is; empty: at the control plane.
  std::vector<std::string> ca_addresses;
  // Whom its certificate must name, as ControlPlaneConnector::Options says.
  std::string ca_server_name;
  std::string ca_roots_path;
  // What that file held at start; not expired.
  std::string ca_roots_pem;
  std::string cluster_id;
  std::string trust_domain;
  std::string trust_bundle_path;
  // What the file held at start; not expired.
  std::string trust_bundle_pem;
  TrustBundleSet trust_bundle;
  std::vector<TrustFiles::File> crls;
  std::string token_path;
  // Whom the token must be for; empty: anybody.
  std::string token_audience;
  std::vector<Proof> proofs;
  absl::optional<SpiffeId> spiffe_id;
  std::string link_socket;
  uid_t proxy_uid = 0;
  // Of the workload API's socket; empty: it is off.
  std::string workload_api_path;
  // Who may use it; empty: the agent's own uid.
  std::vector<uid_t> workload_api_uids;
  bool workload_api_any_uid = false;
  // Empty: any.
  std::string proxy_executable;
  SocketAddress admin;
  std::vector<IpAddress> workload_addresses;
  // Of those; empty: the only one.
  std::string network;
  absl::Duration certificate_ttl;
  absl::Duration min_renewal_interval;
  // Absent: keys go to no file.
  absl::optional<FileSink::Options> file_sink;
  LogLevel log_level = LogLevel::kInfo;
  Logger::Format log_format = Logger::Format::kJson;
};

// Reads the flags and the files they name; `now` judges the bundle. The status is one line that
// names the flag and what to do. Changes nothing.
absl::StatusOr<AgentConfig> AgentConfigFromFlags(absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_FLAGS_H_
