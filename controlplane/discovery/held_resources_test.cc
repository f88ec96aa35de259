#include "controlplane/discovery/held_resources.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

ResourcePtr Named(const std::string& name, const std::string& version) {
  auto resource = std::make_shared<Resource>();
  resource->name = name;
  resource->version = version;
  return resource;
}

TEST(HeldResourcesTest, KnowsWhatAClientSaysItHasAndWhatItWasSent) {
  HeldResources held;
  EXPECT_TRUE(held.empty());
  held.Claim("a", "1");
  held.Claim("a", "2");
  held.Put(Named("b", "3"));
  held.Claim("b", "4");
  EXPECT_EQ(held.VersionOf("a"), "1");
  EXPECT_EQ(held.VersionOf("b"), "3");
  EXPECT_FALSE(held.Contains("c"));
  EXPECT_EQ(held.size(), 2u);
  held.Put(Named("a", "5"));
  EXPECT_EQ(held.VersionOf("a"), "5");
  EXPECT_TRUE(held.Erase("a"));
  EXPECT_FALSE(held.Erase("a"));
  EXPECT_EQ(held.TakeOne(), "b");
  EXPECT_TRUE(held.empty());
}

TEST(HeldResourcesTest, CountsWhatItHolds) {
  HeldResources held;
  held.Claim("abc", "12");
  EXPECT_EQ(held.bytes(), 5 + HeldResources::kClaimCost);
  // What was sent is the registry's, and not counted by its bytes.
  held.Put(Named("abc", "123"));
  EXPECT_EQ(held.bytes(), HeldResources::kSentCost);
  held.Put(Named("x", std::string(1000, 'v')));
  EXPECT_EQ(held.bytes(), 2 * HeldResources::kSentCost);
  held.Erase("x");
  held.TakeOne();
  EXPECT_EQ(held.bytes(), 0u);
}

TEST(HeldResourcesTest, LetsGoOfWhatIsReplaced) {
  HeldResources held;
  const ResourcePtr before = Named("a", "1"), after = Named("a", "1");
  held.Put(before);
  held.Put(after);
  EXPECT_EQ(before.use_count(), 1);
  EXPECT_EQ(after.use_count(), 2);
}

}  // namespace
}  // namespace byrnie
