#include "ctl/edit_distance.h"

#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(EditDistanceTest, CountsWhatHasToBeDone) {
  EXPECT_EQ(EditDistance("status", "status"), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("polcy", "policy"), 1u);
  EXPECT_EQ(EditDistance("policyy", "policy"), 1u);
  EXPECT_EQ(EditDistance("polity", "policy"), 1u);
  EXPECT_EQ(EditDistance("stauts", "status"), 1u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(EditDistanceTest, SaysOfALongTextThatItIsFar) {
  EXPECT_EQ(EditDistance(std::string(64, 'a'), std::string(64, 'a')), 0u);
  EXPECT_EQ(EditDistance(std::string(65, 'a'), "status"), 64u);
}

}  // namespace
}  // namespace byrnie
