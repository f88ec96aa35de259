#include "common/base/cpu_quota.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/control_group.h"

namespace byrnie {
namespace {

// More CPUs than there are.
constexpr int64_t kMost = 1 << 20;

// Microseconds of CPU time in each period, and the period; "max" and -1 are no quota.
absl::optional<int> InWholeCpus(absl::string_view quota_text, absl::string_view period_text) {
  int64_t quota = 0;
  int64_t period = 0;
  if (!absl::SimpleAtoi(quota_text, &quota) || !absl::SimpleAtoi(period_text, &period) ||
      quota <= 0 || period <= 0) {
    return absl::nullopt;
  }
  const int64_t whole = quota / period + (quota % period == 0 ? 0 : 1);
  return static_cast<int>(std::min(whole, kMost));
}

absl::optional<int> QuotaOf(const ControlGroup& group, const SystemFileReader& read) {
  if (group.version == ControlGroup::Version::k1) {
    const absl::optional<std::string> quota = read(absl::StrCat(group.folder, "/cpu.cfs_quota_us"));
    const absl::optional<std::string> period =
        read(absl::StrCat(group.folder, "/cpu.cfs_period_us"));
    if (!quota.has_value() || !period.has_value()) return absl::nullopt;
    return InWholeCpus(*quota, *period);
  }
  const absl::optional<std::string> text = read(absl::StrCat(group.folder, "/cpu.max"));
  if (!text.has_value()) return absl::nullopt;
  // "QUOTA PERIOD".
  const std::vector<absl::string_view> fields =
      absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (fields.size() != 2) return absl::nullopt;
  return InWholeCpus(fields[0], fields[1]);
}

}  // namespace

absl::optional<int> FindCpuQuota(const SystemFileReader& read) {
  absl::optional<int> least;
  for (const ControlGroup& group : ControlGroupsOf("cpu", read)) {
    const absl::optional<int> quota = QuotaOf(group, read);
    if (quota.has_value()) least = std::min(*quota, least.value_or(*quota));
  }
  return least;
}

}  // namespace byrnie
