#include "proxy/container_memory.h"

#include <map>
#include <string>

#include "common/base/system_file.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class ContainerMemoryTest : public ::testing::Test {
 protected:
  absl::optional<std::string> Read(const std::string& path) const {
    auto it = files_.find(path);
    if (it == files_.end()) return absl::nullopt;
    return it->second;
  }
  absl::optional<ContainerMemory> Find() { return ContainerMemory::Find(read_); }

  std::map<std::string, std::string> files_;
  const SystemFileReader read_ = [this](const std::string& path) { return Read(path); };
};

TEST_F(ContainerMemoryTest, ReadsTheLimitOfTheContainersOwnGroup) {
  files_["/proc/self/cgroup"] = "0::/\n";
  files_["/sys/fs/cgroup/memory.max"] = "67108864\n";
  files_["/sys/fs/cgroup/memory.current"] = "40000000\n";
  files_["/sys/fs/cgroup/memory.stat"] = "anon 5\ninactive_file 4000000\nactive_file 7\n";
  const absl::optional<ContainerMemory> memory = Find();
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->limit(), 67108864u);
  EXPECT_EQ(memory->Used(read_), 36000000u) << "cache is not counted";
  files_["/sys/fs/cgroup/memory.current"] = "10000000\n";
  EXPECT_EQ(memory->Used(read_), 10000000u) << "far from the limit, so it was not looked at";
}

TEST_F(ContainerMemoryTest, TakesTheLowestLimitOnTheWayToTheRoot) {
  files_["/proc/self/cgroup"] = "0::/pod/container\n";
  files_["/sys/fs/cgroup/pod/container/memory.max"] = "max\n";
  files_["/sys/fs/cgroup/pod/memory.max"] = "2000\n";
  files_["/sys/fs/cgroup/memory.max"] = "3000\n";
  files_["/sys/fs/cgroup/pod/memory.current"] = "1500\n";
  files_["/sys/fs/cgroup/pod/memory.stat"] = "inactive_file 100\n";
  const absl::optional<ContainerMemory> memory = Find();
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->limit(), 2000u);
  EXPECT_EQ(memory->Used(read_), 1400u);
}

TEST_F(ContainerMemoryTest, ReadsVersionOneWhereThePathIsThatOfTheHost) {
  files_["/proc/self/cgroup"] = "5:cpu,memory:/kubepods/pod7\n0::/\n";
  files_["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "5000\n";
  files_["/sys/fs/cgroup/memory/memory.usage_in_bytes"] = "3000\n";
  files_["/sys/fs/cgroup/memory/memory.stat"] = "inactive_file 1\ntotal_inactive_file 200\n";
  const absl::optional<ContainerMemory> memory = Find();
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->limit(), 5000u);
  EXPECT_EQ(memory->Used(read_), 2800u);
}

TEST_F(ContainerMemoryTest, FindsNoLimitWhereThereIsNone) {
  EXPECT_FALSE(Find().has_value());
  files_["/proc/self/cgroup"] = "5:memory:/a\n0::/a\nnonsense\n";
  EXPECT_FALSE(Find().has_value());
  files_["/sys/fs/cgroup/a/memory.max"] = "max\n";
  files_["/sys/fs/cgroup/memory/a/memory.limit_in_bytes"] = "9223372036854771712\n";
  EXPECT_FALSE(Find().has_value());
}

TEST_F(ContainerMemoryTest, KnowsNothingWhenTheKernelSaysNothing) {
  files_["/proc/self/cgroup"] = "0::/\n";
  files_["/sys/fs/cgroup/memory.max"] = "1000\n";
  const absl::optional<ContainerMemory> memory = Find();
  ASSERT_TRUE(memory.has_value());
  EXPECT_FALSE(memory->Used(read_).has_value());
}

TEST_F(ContainerMemoryTest, MeasuresTheProcessAgainstALimitOfItsOwn) {
  const ContainerMemory memory = ContainerMemory::OfProcess(1 << 20);
  EXPECT_FALSE(memory.Used(read_).has_value());
  files_["/proc/self/statm"] = "9000 3 2 1 0 5 0\n";
  EXPECT_EQ(memory.limit(), 1u << 20);
  EXPECT_EQ(memory.Used(read_).value() % 3, 0u);
  EXPECT_GE(memory.Used(read_).value(), 3u * 4096);
}

TEST_F(ContainerMemoryTest, ReadsTheRealFiles) {
  EXPECT_GT(ProcessMemory(ReadSystemFile).value(), 100000u);
}

}  // namespace
}  // namespace byrnie
