#ifndef BYRNIE_DEPLOY_REDIRECT_NFT_GENERATION_H_
#define BYRNIE_DEPLOY_REDIRECT_NFT_GENERATION_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace byrnie {

// The number of nf_tables' present state, in the network namespace the process is in: each
// transaction of anybody makes it another one. A few system calls, however many rules there are.
// Unavailable when the kernel does not say.
absl::StatusOr<uint32_t> NftGeneration();

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_NFT_GENERATION_H_
