#include "common/base/control_group.h"

#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "1 FOLDER" or "2 FOLDER" of each, where /proc/self/cgroup says `text`.
std::vector<std::string> Groups(absl::string_view controller, absl::optional<std::string> text) {
  std::vector<std::string> found;
  for (const ControlGroup& group :
       ControlGroupsOf(controller, [&text](const std::string& path) -> absl::optional<std::string> {
         EXPECT_EQ(path, "/proc/self/cgroup");
         return text;
       })) {
    found.push_back((group.version == ControlGroup::Version::k1 ? "1 " : "2 ") + group.folder);
  }
  return found;
}

TEST(ControlGroupTest, GoesFromTheOwnGroupToTheRoot) {
  EXPECT_THAT(
      Groups("cpu", "0::/pod/container\n"),
      ElementsAre("2 /sys/fs/cgroup/pod/container", "2 /sys/fs/cgroup/pod", "2 /sys/fs/cgroup"));
  EXPECT_THAT(Groups("cpu", "0::/\n"), ElementsAre("2 /sys/fs/cgroup"));
}

TEST(ControlGroupTest, FindsTheControllersOwnHierarchyInVersionOne) {
  const char kText[] = "5:cpu,cpuacct:/pod7\n4:memory:/pod8\n3:cpuset:/pod9\n1:name=systemd:/a\n";
  EXPECT_THAT(Groups("cpu", kText),
              ElementsAre("1 /sys/fs/cgroup/cpu/pod7", "1 /sys/fs/cgroup/cpu"));
  EXPECT_THAT(Groups("memory", kText),
              ElementsAre("1 /sys/fs/cgroup/memory/pod8", "1 /sys/fs/cgroup/memory"));
  EXPECT_THAT(Groups("pids", kText), IsEmpty());
}

TEST(ControlGroupTest, LooksAtBothVersionsWhereBothAre) {
  EXPECT_THAT(Groups("cpu", "2:cpu:/a\n0::/b\n"),
              ElementsAre("1 /sys/fs/cgroup/cpu/a", "1 /sys/fs/cgroup/cpu", "2 /sys/fs/cgroup/b",
                          "2 /sys/fs/cgroup"));
}

TEST(ControlGroupTest, TakesAPathAsItIs) {
  EXPECT_THAT(Groups("cpu", "0::/a:b\n"), ElementsAre("2 /sys/fs/cgroup/a:b", "2 /sys/fs/cgroup"));
  EXPECT_THAT(Groups("cpu", "0::relative\n"), ElementsAre("2 /sys/fs/cgroup"));
}

TEST(ControlGroupTest, FindsNothingWhereTheKernelSaysNothing) {
  EXPECT_THAT(Groups("cpu", absl::nullopt), IsEmpty());
  EXPECT_THAT(Groups("cpu", ""), IsEmpty());
  EXPECT_THAT(Groups("cpu", "nonsense\n\n:\n7:cpu\n"), IsEmpty());
}

}  // namespace
}  // namespace byrnie
