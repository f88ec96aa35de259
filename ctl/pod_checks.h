#ifndef BYRNIE_CTL_POD_CHECKS_H_
#define BYRNIE_CTL_POD_CHECKS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "common/net/socket_address.h"
#include "ctl/http_get.h"

namespace byrnie {

// What a connection that was tried from the source's pod came to.
struct ProbeResult {
  // Not OK: the kernel said no, or nobody answered.
  absl::Status connected;
  // The other end has ended it without a byte.
  bool ended = false;
  // Of this end, by which the proxy's pages name it.
  uint16_t local_port = 0;
  // Something was sent to the destination's machine that it has not acknowledged.
  bool unacknowledged = false;
};

// What explain asks pods for, beyond what the control plane knows.
struct PodCheckOptions {
  absl::optional<SocketAddress> source_admin, destination_admin;
  // Set: the source's pod is where this runs, and this is what was tried.
  absl::optional<ProbeResult> probe;
  // Why nothing was tried, though it was asked for; empty: it was, or was not asked for.
  std::string not_probed;
};

// How a page is asked for, on several threads; tests answer themselves.
using PageGetter =
    std::function<absl::StatusOr<HttpPage>(const SocketAddress& address, absl::string_view path)>;

// Replaces the step "pod" of an explanation, and what is unknown of "inbound-mode", by what the
// pods' own pages say: readiness on port 15021 of their addresses, and where they are given the
// admin ports, all asked at the same time. What a pod says counts more than what the control plane
// knows: its step takes the place of that one's; but a refusal, which may come from anybody on the
// way, does not outvote an agent that has just said that its proxy answers. Says of what it could
// not reach that it is unknown. Brings first_failed and verdict up to date.
void AddPodChecks(const PodCheckOptions& options, const PageGetter& get,
                  byrnie::operator_::v1::ExplainResponse* answer);

}  // namespace byrnie

#endif  // BYRNIE_CTL_POD_CHECKS_H_
