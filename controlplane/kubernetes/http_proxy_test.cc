#include "controlplane/kubernetes/http_proxy.h"

#include <map>
#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ParseProxyUrlTest, TakesAHostWithOrWithoutMore) {
  ASSERT_OK_AND_ASSIGN(HttpProxy proxy, ParseProxyUrl("http://proxy.example"));
  EXPECT_EQ(proxy.Authority(), "proxy.example:80");
  EXPECT_TRUE(proxy.credentials.empty());
  ASSERT_OK_AND_ASSIGN(proxy, ParseProxyUrl("HTTP://me:p%40ss@[fd00::1]:3128/"));
  EXPECT_EQ(proxy.host, "fd00::1");
  EXPECT_EQ(proxy.Authority(), "[fd00::1]:3128");
  EXPECT_EQ(proxy.credentials.view(), "me:p@ss");
  ASSERT_OK_AND_ASSIGN(proxy, ParseProxyUrl("http://me@proxy:1"));
  EXPECT_EQ(proxy.credentials.view(), "me:");
}

TEST(ParseProxyUrlTest, RefusesOthersWithoutTheirPasswords) {
  const struct {
    const char *url, *message;
  } kCases[] = {
      {"https://me:s3cret@proxy", "asked by https is not taken"},
      {"socks5://proxy:1080", "asked by socks5 is not taken"},
      {"socks5h://proxy:1080", "asked by socks5h is not taken"},
      {"ftp://me:s3cret@proxy", "not http://HOST:PORT"},
      {"proxy:3128", "not http://HOST:PORT"},
      {"http://", "not HOST[:PORT]"},
      {"http://me:s3cret@proxy:0", "no port"},
      {"http://me:s3cret%4@proxy", "a % that says nothing"},
      {"http://proxy/path", "not HOST[:PORT]"},
      {"http://proxy\r\nHost: x", "not HOST[:PORT]"},
      {"http://pro\x01xy", "not HOST[:PORT]"},
      {"http://[fd00::1", "[ without ]"},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(ParseProxyUrl(test.url),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(test.message), Not(HasSubstr("s3cret")))))
        << test.url;
  }
}

class ProxyOfEnvironmentTest : public ::testing::Test {
 protected:
  // "" for none.
  std::string ProxyFor(const std::string& host, uint16_t port = 6443) {
    const auto found = ProxyOfEnvironment(
        [this](absl::string_view name) { return environment_[std::string(name)]; }, host, port);
    EXPECT_THAT(found, IsOk());
    return found.ok() && found->has_value() ? (*found)->Authority() : "";
  }
  std::map<std::string, std::string> environment_;
};

TEST_F(ProxyOfEnvironmentTest, TakesItInLargeOrSmallLetters) {
  EXPECT_EQ(ProxyFor("api.example"), "");
  environment_["https_proxy"] = "http://small:1";
  EXPECT_EQ(ProxyFor("api.example"), "small:1");
  // Without a scheme, as many write it.
  environment_["HTTPS_PROXY"] = "large:2";
  EXPECT_EQ(ProxyFor("api.example"), "large:2");
}

TEST_F(ProxyOfEnvironmentTest, AsksForThisMachineAndExceptionsItself) {
  environment_["HTTPS_PROXY"] = "http://proxy:1";
  const struct {
    const char *exceptions, *host;
    bool excepted;
  } kCases[] = {
      {"", "localhost", true},
      {"", "127.0.0.1", true},
      {"", "::1", true},
      {"*", "api.example", true},
      {"other.example, api.example", "api.example", true},
      {"example", "api.example", true},
      {"example", "api-example", false},
      {"xample", "api.example", false},
      {"api.example", "API.example", true},
      {".example", "api.example", true},
      {".api.example", "api.example", false},
      {"*.example", "api.example", true},
      {"*.api.example", "api.example", false},
      {"api.example:6443", "api.example", true},
      {"api.example:443", "api.example", false},
      {"10.0.0.0/8", "10.96.0.1", true},
      {"10.96.0.0/31", "10.96.0.1", true},
      {"10.96.0.0/32", "10.96.0.1", false},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"10.0.0.0/33", "10.0.0.1", false},
      {"fd00::/8", "fd12::1", true},
      {"fd00::/8", "10.0.0.1", false},
      {"10.96.0.1", "10.96.0.1", true},
      {"10.96.0.1:6443", "10.96.0.1", true},
      {"10.96.0.2", "10.96.0.1", false},
      {",, ,", "api.example", false},
  };
  for (const auto& test : kCases) {
    environment_["NO_PROXY"] = test.exceptions;
    EXPECT_EQ(ProxyFor(test.host).empty(), test.excepted) << test.exceptions << " " << test.host;
  }
}

TEST_F(ProxyOfEnvironmentTest, NamesTheVariableThatIsWrong) {
  environment_["HTTPS_PROXY"] = "https://me:s3cret@proxy";
  EXPECT_THAT(
      ProxyOfEnvironment([this](absl::string_view name) { return environment_[std::string(name)]; },
                         "api.example", 443),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("HTTPS_PROXY"), Not(HasSubstr("s3cret")))));
}

}  // namespace
}  // namespace byrnie
