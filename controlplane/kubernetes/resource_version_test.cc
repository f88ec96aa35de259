#include "controlplane/kubernetes/resource_version.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::Optional;

TEST(ResourceVersionTest, ComparesNumbersOfAnyLength) {
  const std::string longer = "1" + std::string(80, '0');
  const std::string most = std::string(80, '9');
  for (const auto& [older, newer] : {std::make_pair(std::string("9"), std::string("10")),
                                     {"0", "1"},
                                     {"999", "1000"},
                                     {"1000", "1001"},
                                     {"18446744073709551615", "18446744073709551616"},
                                     {most, longer}}) {
    EXPECT_THAT(IsOlderVersion(older, newer), Optional(true)) << older;
    EXPECT_THAT(IsOlderVersion(newer, older), Optional(false)) << older;
    EXPECT_THAT(IsOlderVersion(older, older), Optional(false)) << older;
  }
}

TEST(ResourceVersionTest, SaysNothingOfWhatIsNoNumberUnlessItIsTheSame) {
  for (const char* odd :
       {"", "-1", "+1", "01", "00", "1.5", "1e3", "0x1", " 1", "1 ", "v1", "\xd9\xa1"}) {
    EXPECT_EQ(IsOlderVersion(odd, "5"), absl::nullopt) << odd;
    EXPECT_EQ(IsOlderVersion("5", odd), absl::nullopt) << odd;
    EXPECT_THAT(IsOlderVersion(odd, odd), Optional(false)) << odd;
  }
}

}  // namespace
}  // namespace byrnie
