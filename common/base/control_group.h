#ifndef BYRNIE_COMMON_BASE_CONTROL_GROUP_H_
#define BYRNIE_COMMON_BASE_CONTROL_GROUP_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/system_file.h"

namespace byrnie {

// One of the kernel's control groups that this process is in: where the limits of a container are.
struct ControlGroup {
  // Its files' names begin with that of the controller, which knows the version.
  enum class Version { k1, k2 };

  std::string folder;  // Without a slash at the end.
  Version version = Version::k2;
};

// Where this process's group of `controller` ("memory", "cpu") and the group's ancestors would be,
// from the group to the root of its hierarchy, in version 1, 2 or both. Whether there is such a
// folder, and whether it has a limit, its files say: in a container the path that the kernel tells
// may be that of the host, below which nothing is found, while the container's own group is mounted
// at the root. Empty where the kernel says nothing.
std::vector<ControlGroup> ControlGroupsOf(absl::string_view controller,
                                          const SystemFileReader& read);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_CONTROL_GROUP_H_
