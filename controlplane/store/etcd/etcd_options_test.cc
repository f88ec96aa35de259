#include "controlplane/store/etcd/etcd_options.h"

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(EtcdOptionsTest, ReadsOneUrl) {
  ASSERT_OK_AND_ASSIGN(EtcdOptions options, ParseEtcdUrls("http://127.0.0.1:1234"));
  EXPECT_THAT(options.endpoints, ElementsAre("127.0.0.1:1234"));
  EXPECT_FALSE(options.tls);
  EXPECT_EQ(options.prefix, "byrnie/");
}

TEST(EtcdOptionsTest, ReadsSeveralAndThePrefix) {
  ASSERT_OK_AND_ASSIGN(EtcdOptions options, ParseEtcdUrls("https://a.example,https://[fd00::1]:99,"
                                                          "https://[fd00::2]/meshes/one/"));
  EXPECT_THAT(options.endpoints, ElementsAre("a.example:2379", "[fd00::1]:99", "[fd00::2]:2379"));
  EXPECT_TRUE(options.tls);
  EXPECT_EQ(options.prefix, "meshes/one/");
}

TEST(EtcdOptionsTest, SaysWhatIsWrong) {
  for (const auto& [text, what] : {
           std::pair("", "neither http"),
           std::pair("127.0.0.1:2379", "neither http"),
           std::pair("http://", "no host"),
           std::pair("http://a:0", "port"),
           std::pair("http://a:65536", "port"),
           std::pair("http://a:x", "port"),
           std::pair("http://user@a", "no host"),
           std::pair("http://a,https://b", "all are http"),
           std::pair("http://a/p,http://b", "only the last"),
           std::pair("http://a/p?q", "no prefix"),
           std::pair("http://a,", "neither http"),
           std::pair("http://fd00::1", "host"),
       }) {
    EXPECT_THAT(ParseEtcdUrls(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)))
        << text;
  }
}

TEST(EtcdOptionsTest, KnowsWhatLeavesTheMachineUnencrypted) {
  EXPECT_FALSE(SendsInTheClear(*ParseEtcdUrls("http://127.0.0.1,http://[::1],http://localhost")));
  EXPECT_TRUE(SendsInTheClear(*ParseEtcdUrls("http://127.0.0.1,http://10.0.0.1")));
  EXPECT_TRUE(SendsInTheClear(*ParseEtcdUrls("http://etcd.example")));
  EXPECT_FALSE(SendsInTheClear(*ParseEtcdUrls("https://10.0.0.1")));
}

}  // namespace
}  // namespace byrnie
