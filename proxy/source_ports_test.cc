#include "proxy/source_ports.h"

#include <algorithm>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(SourcePortsTest, AreAPartOfThoseThereAreAnotherOneEachTime) {
  std::mt19937 random(1);
  std::set<uint16_t> firsts;
  for (int i = 0; i < 100; ++i) {
    const PortRange chosen = ChooseSourcePorts({32768, 65535}, random);
    EXPECT_GE(chosen.first, 32768);
    EXPECT_EQ(chosen.last - chosen.first, 511);
    firsts.insert(chosen.first);
  }
  EXPECT_GT(firsts.size(), 90u);
}

TEST(SourcePortsTest, ReachBothEnds) {
  std::mt19937 random(1);
  uint16_t least = 65535;
  uint16_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    const PortRange chosen = ChooseSourcePorts({40000, 40520}, random);
    least = std::min(least, chosen.first);
    most = std::max(most, chosen.last);
  }
  EXPECT_EQ(least, 40000);
  EXPECT_EQ(most, 40520);
}

TEST(SourcePortsTest, AreAllWhereThereAreFew) {
  std::mt19937 random(1);
  for (const uint16_t last : {50000, 50001, 50511}) {
    const PortRange chosen = ChooseSourcePorts({50000, last}, random);
    EXPECT_EQ(chosen.first, 50000);
    EXPECT_EQ(chosen.last, last);
  }
}

}  // namespace
}  // namespace byrnie
