#ifndef BYRNIE_PROXY_LOCAL_ADDRESSES_H_
#define BYRNIE_PROXY_LOCAL_ADDRESSES_H_

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The addresses of this network namespace's interfaces, loopback included. Unavailable when the
// kernel does not say.
absl::StatusOr<absl::flat_hash_set<IpAddress>> LocalAddresses();

}  // namespace byrnie

#endif  // BYRNIE_PROXY_LOCAL_ADDRESSES_H_
