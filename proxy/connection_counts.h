#ifndef BYRNIE_PROXY_CONNECTION_COUNTS_H_
#define BYRNIE_PROXY_CONNECTION_COUNTS_H_

#include <cstddef>
#include <cstdint>

namespace byrnie {

// What a drain waits for.
struct ConnectionCounts {
  // Connections that are open or may be about to be.
  size_t open = 0;
  // All that have ever been taken, so that one which came and went between two looks is seen.
  uint64_t begun = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_CONNECTION_COUNTS_H_
