#include "proxy/container_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
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

// "/a/b", "/a", "" of "/a/b". In a container the path may be that of the host, below which nothing
// is found, while the container's own group is mounted at the root.
std::vector<std::string> WithAncestors(absl::string_view path) {
  std::vector<std::string> paths;
  while (!path.empty() && path != "/") {
    paths.emplace_back(path);
    path = path.substr(0, path.rfind('/'));
  }
  paths.emplace_back("");
  return paths;
}

}  // namespace

absl::optional<std::string> ReadSystemFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::nullopt;
  std::string text(16 * 1024, '\0');
  const ssize_t size = ::read(fd.get(), &text[0], text.size());
  if (size < 0) return absl::nullopt;
  text.resize(static_cast<size_t>(size));
  return text;
}

absl::optional<ContainerMemory> ContainerMemory::Find(const SystemFileReader& read) {
  const absl::optional<std::string> groups = read("/proc/self/cgroup");
  if (!groups.has_value()) return absl::nullopt;
  absl::optional<ContainerMemory> lowest;
  // "HIERARCHY:CONTROLLERS:PATH"; version 2 is hierarchy 0 without controllers.
  for (const absl::string_view line : absl::StrSplit(*groups, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const bool is_v2 = parts[0] == "0" && parts[1].empty();
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (!is_v2 &&
        std::find(controllers.begin(), controllers.end(), "memory") == controllers.end()) {
      continue;
    }
    for (const std::string& path : WithAncestors(parts[2])) {
      const std::string folder = absl::StrCat(kRoot, is_v2 ? "" : "/memory", path);
      const absl::optional<uint64_t> limit =
          ReadNumber(read, absl::StrCat(folder, is_v2 ? "/memory.max" : "/memory.limit_in_bytes"));
      if (!limit.has_value() || *limit == 0 || *limit >= kNoLimit) continue;
      if (lowest.has_value() && lowest->limit_ <= *limit) continue;
      ContainerMemory found;
      found.limit_ = *limit;
      found.usage_path_ =
          absl::StrCat(folder, is_v2 ? "/memory.current" : "/memory.usage_in_bytes");
      found.stat_path_ = absl::StrCat(folder, "/memory.stat");
      found.cache_key_ = is_v2 ? "inactive_file" : "total_inactive_file";
      lowest = std::move(found);
    }
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
