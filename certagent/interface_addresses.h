#ifndef BYRNIE_CERTAGENT_INTERFACE_ADDRESSES_H_
#define BYRNIE_CERTAGENT_INTERFACE_ADDRESSES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The addresses of this network namespace's interfaces that peers may know it by: neither loopback
// nor link-local, each once. Unavailable when the kernel does not tell.
absl::StatusOr<std::vector<IpAddress>> GlobalInterfaceAddresses();

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_INTERFACE_ADDRESSES_H_
