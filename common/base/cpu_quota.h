#ifndef BYRNIE_COMMON_BASE_CPU_QUOTA_H_
#define BYRNIE_COMMON_BASE_CPU_QUOTA_H_

#include "absl/types/optional.h"
#include "common/base/system_file.h"

namespace byrnie {

// How many CPUs' time the control groups of this process (version 2 or 1) let it have, rounded up:
// the least of its own group and its ancestors, at least 1. None where there is no quota or it
// cannot be found out. A process with more threads to keep busy than this uses up its time early in
// each period, and then stands still until the next.
absl::optional<int> FindCpuQuota(const SystemFileReader& read);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_CPU_QUOTA_H_
