#include "common/base/places.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(PlacesTest, OneHolderLeavesTheOthersTheirs) {
  Places places(2, 10);
  const auto first = places.Take("a");
  const auto second = places.Take("a");
  ASSERT_NE(second, nullptr);
  Places::Full full = Places::Full::kAll;
  EXPECT_EQ(places.Take("a", &full), nullptr);
  EXPECT_EQ(full, Places::Full::kHolder);
  EXPECT_NE(places.Take("b"), nullptr);
  EXPECT_EQ(places.Take("a"), nullptr);
}

TEST(PlacesTest, ManyHoldersFindAnEnd) {
  Places places(2, 3);
  std::vector<std::unique_ptr<Places::Place>> held;
  for (const char* holder : {"a", "b", "c"}) held.push_back(places.Take(holder));
  EXPECT_EQ(places.taken(), 3u);
  Places::Full full = Places::Full::kHolder;
  EXPECT_EQ(places.Take("d", &full), nullptr);
  EXPECT_EQ(full, Places::Full::kAll);
}

TEST(PlacesTest, WhatIsGivenBackIsThereAgain) {
  Places places(1, 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(places.Take("a"), nullptr) << i;
    EXPECT_EQ(places.taken(), 0u);
  }
}

}  // namespace
}  // namespace byrnie
