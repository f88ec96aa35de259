#ifndef BYRNIE_PROXY_CONTAINER_MEMORY_H_
#define BYRNIE_PROXY_CONTAINER_MEMORY_H_

#include <cstdint>
#include <string>

#include "absl/types/optional.h"
#include "common/base/system_file.h"

namespace byrnie {

// The memory a process may use and uses before the kernel kills it: that of its control group
// (version 2 or 1), the one of its ancestors with the lowest limit, or of this process alone where
// the operator gave a limit. A value; thread-safe.
class ContainerMemory {
 public:
  // The container's limit; none where there is no limit or it cannot be found out.
  static absl::optional<ContainerMemory> Find(const SystemFileReader& read);
  // `limit` for this process alone.
  static ContainerMemory OfProcess(uint64_t limit);

  uint64_t limit() const { return limit_; }
  // What counts towards the limit and the kernel cannot take back; where it is less than half, at
  // most that. None where it cannot be read. Costs microseconds.
  absl::optional<uint64_t> Used(const SystemFileReader& read) const;

 private:
  ContainerMemory() = default;

  uint64_t limit_ = 0;
  // Of the control group; empty: of the process.
  std::string usage_path_;
  std::string stat_path_;
  // What of the usage is cache that the kernel gives up first, in the file at stat_path_.
  std::string cache_key_;
};

// What this process has in memory.
absl::optional<uint64_t> ProcessMemory(const SystemFileReader& read);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_CONTAINER_MEMORY_H_
