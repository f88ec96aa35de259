#include "common/base/control_group.h"

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace byrnie {
namespace {

constexpr absl::string_view kRoot = "/sys/fs/cgroup";

}  // namespace

std::vector<ControlGroup> ControlGroupsOf(absl::string_view controller,
                                          const SystemFileReader& read) {
  std::vector<ControlGroup> groups;
  const absl::optional<std::string> text = read("/proc/self/cgroup");
  if (!text.has_value()) return groups;
  // "HIERARCHY:CONTROLLERS:PATH"; version 2 is hierarchy 0 without controllers.
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const bool is_v2 = parts[0] == "0" && parts[1].empty();
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (!is_v2 && !absl::c_linear_search(controllers, controller)) continue;
    const std::string root = is_v2 ? std::string(kRoot) : absl::StrCat(kRoot, "/", controller);
    const ControlGroup::Version version =
        is_v2 ? ControlGroup::Version::k2 : ControlGroup::Version::k1;
    for (absl::string_view path = parts[2]; absl::StartsWith(path, "/") && path != "/";
         path = path.substr(0, path.rfind('/'))) {
      groups.push_back({absl::StrCat(root, path), version});
    }
    groups.push_back({root, version});
  }
  return groups;
}

}  // namespace byrnie
