#ifndef BYRNIE_PROXY_DEFAULT_GATEWAYS_H_
#define BYRNIE_PROXY_DEFAULT_GATEWAYS_H_

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The gateways of default routes in the text of /proc/net/route and /proc/net/ipv6_route, the
// kernel's stable interface for its main tables. Lines that are not understood are left out: of a
// gateway nobody knows nothing is admitted. Pure.
absl::flat_hash_set<IpAddress> ParseIpv4Gateways(absl::string_view route_table);
absl::flat_hash_set<IpAddress> ParseIpv6Gateways(absl::string_view route_table);

// The default gateways of the network namespace the process is in: where a node's traffic to the
// pod comes from with the usual network plugins. Reads files; not for a data loop. Unavailable when
// neither table can be read.
absl::StatusOr<absl::flat_hash_set<IpAddress>> DefaultGateways();

}  // namespace byrnie

#endif  // BYRNIE_PROXY_DEFAULT_GATEWAYS_H_
