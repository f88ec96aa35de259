#ifndef BYRNIE_CERTAGENT_PROCESS_HARDENING_H_
#define BYRNIE_CERTAGENT_PROCESS_HARDENING_H_

#include "absl/status/status.h"

namespace byrnie {

// Makes the memory of this process, which will hold private keys, unreadable for other processes of
// the same uid (no ptrace, no /proc/PID/mem), keeps it out of core dumps, and keeps what this
// process starts from gaining rights. Root still reads /proc/PID/mem, but for secret memory. Called
// before there is anything to hide. Internal names what the kernel refused.
absl::Status ProtectProcessMemory();

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_PROCESS_HARDENING_H_
