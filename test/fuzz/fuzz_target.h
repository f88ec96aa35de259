#ifndef BYRNIE_TEST_FUZZ_FUZZ_TARGET_H_
#define BYRNIE_TEST_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// What a fuzz target defines. Called with arbitrary bytes; must neither crash, leak nor keep state.
// Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace byrnie {

// Well-formed and nearly well-formed inputs, from which the replay driver mutates.
std::vector<std::string> FuzzSeeds();

}  // namespace byrnie

#endif  // BYRNIE_TEST_FUZZ_FUZZ_TARGET_H_
