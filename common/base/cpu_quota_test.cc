#include "common/base/cpu_quota.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

class CpuQuotaTest : public ::testing::Test {
 protected:
  // Of a container whose group is seen as the root.
  absl::optional<int> Of(const std::string& cpu_max) {
    files_["/proc/self/cgroup"] = "0::/\n";
    files_["/sys/fs/cgroup/cpu.max"] = cpu_max;
    return Find();
  }
  absl::optional<int> Find() const {
    return FindCpuQuota([this](const std::string& path) -> absl::optional<std::string> {
      auto it = files_.find(path);
      if (it == files_.end()) return absl::nullopt;
      return it->second;
    });
  }

  std::map<std::string, std::string> files_;
};

TEST_F(CpuQuotaTest, RoundsUpToWholeCpus) {
  EXPECT_EQ(Of("50000 100000\n"), 1) << "500m";
  EXPECT_EQ(Of("1000 100000\n"), 1);
  EXPECT_EQ(Of("100000 100000\n"), 1);
  EXPECT_EQ(Of("100001 100000\n"), 2);
  EXPECT_EQ(Of("150000 100000\n"), 2);
  EXPECT_EQ(Of("800000 100000\n"), 8);
  EXPECT_EQ(Of("25000 50000\n"), 1);
  EXPECT_EQ(Of("9223372036854775807 1\n"), 1 << 20);
}

TEST_F(CpuQuotaTest, FindsNoneWhereThereIsNone) {
  EXPECT_FALSE(Find().has_value());
  EXPECT_FALSE(Of("max 100000\n").has_value());
  files_.erase("/sys/fs/cgroup/cpu.max");
  EXPECT_FALSE(Find().has_value());
}

TEST_F(CpuQuotaTest, MakesNothingOfNonsense) {
  for (const char* text :
       {"", "\n", "50000", "50000 0\n", "50000 -1\n", "0 100000\n", "-5 100000\n", "1 2 3\n",
        "many few\n", "99999999999999999999 100000\n"}) {
    EXPECT_FALSE(Of(text).has_value()) << text;
  }
}

TEST_F(CpuQuotaTest, TakesTheLeastOnTheWayToTheRoot) {
  files_["/proc/self/cgroup"] = "0::/pod/container\n";
  files_["/sys/fs/cgroup/pod/container/cpu.max"] = "400000 100000\n";
  files_["/sys/fs/cgroup/pod/cpu.max"] = "150000 100000\n";
  files_["/sys/fs/cgroup/cpu.max"] = "max 100000\n";
  EXPECT_EQ(Find(), 2);
}

TEST_F(CpuQuotaTest, ReadsVersionOneWhereThePathIsThatOfTheHost) {
  files_["/proc/self/cgroup"] = "5:cpu,cpuacct:/kubepods/pod7\n0::/\n";
  files_["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "50000\n";
  EXPECT_FALSE(Find().has_value()) << "of which period?";
  files_["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(Find(), 1);
  files_["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "250000\n";
  EXPECT_EQ(Find(), 3);
  files_["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "-1\n";
  EXPECT_FALSE(Find().has_value());
}

TEST_F(CpuQuotaTest, ReadsTheRealFiles) { EXPECT_GE(FindCpuQuota(ReadSystemFile).value_or(1), 1); }

}  // namespace
}  // namespace byrnie
