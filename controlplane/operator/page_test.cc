#include "controlplane/operator/page.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(PageTest, TheFirstPageBeginsAtTheStartAndHasADefaultSize) {
  auto page = Page::Create(0, "", "workloads");
  ASSERT_THAT(page, IsOk());
  EXPECT_EQ(page->size(), Page::kDefaultSize);
  EXPECT_EQ(page->after(), "");
}

TEST(PageTest, ATokenGoesOnAfterItsKeyWhateverIsInIt) {
  for (const std::string& key : {std::string("a"), std::string("x\0y", 3), std::string(300, 'z')}) {
    const std::string token = Page::Create(0, "", "workloads")->TokenAfter(key);
    auto next = Page::Create(7, token, "workloads");
    ASSERT_THAT(next, IsOk());
    EXPECT_EQ(next->after(), key);
    EXPECT_EQ(next->size(), 7u);
  }
}

TEST(PageTest, ATokenIsOfItsOwnListAlone) {
  const std::string token = Page::Create(0, "", "workloads/demo")->TokenAfter("a");
  EXPECT_THAT(Page::Create(0, token, "workloads/other"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")));
}

TEST(PageTest, RefusesWhatIsNoToken) {
  for (const char* token : {"x", "!!", "AAAA"}) {
    EXPECT_THAT(Page::Create(0, token, "workloads"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")));
  }
}

TEST(PageTest, ASizeIsCappedAndNotNegative) {
  EXPECT_EQ(Page::Create(1000000, "", "x")->size(), Page::kMaxSize);
  EXPECT_THAT(Page::Create(-1, "", "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_size")));
}

}  // namespace
}  // namespace byrnie
