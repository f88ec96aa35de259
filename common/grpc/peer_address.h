#ifndef BYRNIE_COMMON_GRPC_PEER_ADDRESS_H_
#define BYRNIE_COMMON_GRPC_PEER_ADDRESS_H_

#include <string>

#include "absl/types/optional.h"
#include "common/net/socket_address.h"

namespace byrnie {

// "10.0.0.1:4711" or "[fd00::1]:4711" of a gRPC peer name such as "ipv4:10.0.0.1:4711".
std::string PeerAddress(const std::string& grpc_peer);

// The address without the port, and without a link-local one's zone; absent where the name has
// none.
absl::optional<IpAddress> PeerIp(const std::string& grpc_peer);

// What counts as one where limits are for each source, of a gRPC peer name: the bytes of its
// SourceKey, or the name itself where that has no address. Not to be shown.
std::string PeerSource(const std::string& grpc_peer);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_PEER_ADDRESS_H_
