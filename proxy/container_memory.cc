#include "proxy/container_memory.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/control_group.h"

namespace byrnie {
namespace {

// Version 1 says "no limit" with a number near 2^63.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

absl::optional<uint64_t> ReadNumber(const SystemFileReader& read, const std::string& path) {
  const absl::optional<std::string> text = read(path);
  uint64_t number = 0;
  if (!text.has_value() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number)) {
    return absl::nullopt;  // "max" among others.
  }
  return number;
}

}  // namespace

absl::optional<ContainerMemory> ContainerMemory::Find(const SystemFileReader& read) {
  absl::optional<ContainerMemory> lowest;
  for (const ControlGroup& group : ControlGroupsOf("memory", read)) {
    const bool is_v2 = group.version == ControlGroup::Version::k2;
    const absl::optional<uint64_t> limit = ReadNumber(
        read, absl::StrCat(group.folder, is_v2 ? "/memory.max" : "/memory.limit_in_bytes"));
    if (!limit.has_value() || *limit == 0 || *limit >= kNoLimit) continue;
    if (lowest.has_value() && lowest->limit_ <= *limit) continue;
    ContainerMemory found;
    found.limit_ = *limit;
    found.usage_path_ =
        absl::StrCat(group.folder, is_v2 ? "/memory.current" : "/memory.usage_in_bytes");
    found.stat_path_ = absl::StrCat(group.folder, "/memory.stat");
    found.cache_key_ = is_v2 ? "inactive_file" : "total_inactive_file";
    lowest = std::move(found);
  }
  return lowest;
}

ContainerMemory ContainerMemory::OfProcess(uint64_t limit) {
  ContainerMemory memory;
  memory.limit_ = limit;
  return memory;
}

absl::optional<uint64_t> ContainerMemory::Used(const SystemFileReader& read) const {
  if (usage_path_.empty()) return ProcessMemory(read);
  const absl::optional<uint64_t> usage = ReadNumber(read, usage_path_);
  if (!usage.has_value()) return absl::nullopt;
  // The other file costs the kernel a hundred times more, and what it says can only make this less.
  if (*usage < limit_ / 2) return usage;
  const absl::optional<std::string> stat = read(stat_path_);
  if (!stat.has_value()) return absl::nullopt;
  for (const absl::string_view line : absl::StrSplit(*stat, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> entry =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t cache = 0;
    if (entry.first != cache_key_ || !absl::SimpleAtoi(entry.second, &cache)) continue;
    return *usage - std::min(*usage, cache);
  }
  return usage;
}

absl::optional<uint64_t> ProcessMemory(const SystemFileReader& read) {
  // "SIZE RESIDENT ..." in pages.
  const absl::optional<std::string> text = read("/proc/self/statm");
  if (!text.has_value()) return absl::nullopt;
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, ' ');
  uint64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return absl::nullopt;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace byrnie
