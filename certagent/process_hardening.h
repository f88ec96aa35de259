#ifndef BYRNIE_CERTAGENT_PROCESS_HARDENING_H_
#define BYRNIE_CERTAGENT_PROCESS_HARDENING_H_

#include "absl/status/status.h"

namespace byrnie {

// Makes the memory of this process, which will hold private keys, unreadable for other processes of
// the same uid and keeps it out of core dumps. Root still reads /proc/PID/mem. Called before there
// is anything to hide. Internal names what the kernel refused.
absl::Status ProtectProcessMemory();

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_PROCESS_HARDENING_H_
