#ifndef BYRNIE_TEST_BENCH_LOAD_FILLER_H_
#define BYRNIE_TEST_BENCH_LOAD_FILLER_H_

#include <sys/types.h>

#include <cstdint>

namespace byrnie::load {

// Sends at most `bytes` bytes of no meaning; like send().
ssize_t SendFiller(int fd, uint64_t bytes);

// Takes at most `bytes` bytes, without copying them out of the kernel; like recv().
ssize_t Discard(int fd, uint64_t bytes);

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_FILLER_H_
