#ifndef BYRNIE_COMMON_BASE_SECRET_MEMORY_H_
#define BYRNIE_COMMON_BASE_SECRET_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace byrnie {

// Memory for the bytes of keys and tokens, apart from all other: one small arena of the process,
// made at the first use. It is never swapped out, never in a core dump and not in a child process.
// Thread-safe.
//
// Where the kernel has memfd_secret(2) the arena is not even in the kernel's own map of the memory:
// neither /proc/PID/mem nor process_vm_readv nor ptrace's peeking reads it, whoever asks. Elsewhere
// it is locked (mlock). Where RLIMIT_MEMLOCK (64 KiB are needed) allows neither, and beyond the
// arena's size, bytes are in ordinary memory. They are wiped in any case.
enum class SecretMemoryKind { kHidden, kLocked, kOrdinary };

// Zero bytes, never null: ends the process when there is no memory at all. `size` is not 0.
uint8_t* AllocateSecret(size_t size);
// Wipes and gives back what AllocateSecret(size) gave.
void FreeSecret(uint8_t* bytes, size_t size);

// Of the arena.
SecretMemoryKind SecretMemoryInUse();
// "hidden", "locked", "ordinary".
absl::string_view SecretMemoryKindName(SecretMemoryKind kind);
// Whether the bytes are in the arena.
bool IsInSecretArena(const uint8_t* bytes);

// Wipes what functions that have returned left on the calling thread's stack. Call it after a
// library has computed with a key: its local variables hold parts of it.
void WipeStackBelow();

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_SECRET_MEMORY_H_
