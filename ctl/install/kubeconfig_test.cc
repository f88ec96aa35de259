#include "ctl/install/kubeconfig.h"

#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kConfig[] = R"(
# As people have them.
apiVersion: v1
kind: Config
current-context: work
contexts:
- {name: work, context: {cluster: work, user: me}}
- {name: home, context: {cluster: home, user: me}}
clusters:
- name: work
  cluster:
    server: https://work.example:6443
    certificate-authority: ca.pem
- name: home
  cluster: {server: https://home.example, certificate-authority-data: UEVN}
users:
- name: me
  user: {token: s3cret}
)";

TEST(ServerOfKubeconfigsTest, ReadsYamlAndTheCurrentContext) {
  ASSERT_OK_AND_ASSIGN(ApiServer server,
                       ServerOfKubeconfigs({KubeconfigText{kConfig, "/etc/kube"}}, ""));
  EXPECT_EQ(server.host, "work.example");
  EXPECT_EQ(server.ca_file, "/etc/kube/ca.pem");
  EXPECT_EQ(server.token.view(), "s3cret");
  ASSERT_OK_AND_ASSIGN(server, ServerOfKubeconfigs({KubeconfigText{kConfig, "/etc/kube"}}, "home"));
  EXPECT_EQ(server.host, "home.example");
}

TEST(ServerOfKubeconfigsTest, TakesWhatTheFirstSaysOfAName) {
  const KubeconfigText other = {R"(
current-context: home
users: [{name: me, user: {client-certificate: me.crt, client-key: me.key}}]
)",
                                "/other"};
  ASSERT_OK_AND_ASSIGN(const ApiServer server,
                       ServerOfKubeconfigs({other, KubeconfigText{kConfig, "/etc/kube"}}, ""));
  EXPECT_EQ(server.host, "home.example");
  EXPECT_EQ(server.client_chain_file, "/other/me.crt");
  EXPECT_EQ(server.client_key_file, "/other/me.key");
}

TEST(ServerOfKubeconfigsTest, QuotesNothingOfWhatIsNone) {
  for (const char* text : {"token: s3cret: b", "- s3cret", "s3cret", "a: 1\n---\ntoken: s3cret",
                           "{token: s3cret, token: s3cret}", "users: {s3cret: 1}"}) {
    EXPECT_THAT(ServerOfKubeconfigs({KubeconfigText{text, ""}}, "c"),
                StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("s3cret"))))
        << text;
  }
}

class FindApiServerTest : public ::testing::Test {
 protected:
  FindApiServerTest() : directory_(absl::StrCat(::testing::TempDir(), "/kube-", ::getpid())) {
    ::mkdir(directory_.c_str(), 0700);
    ::mkdir(absl::StrCat(directory_, "/.kube").c_str(), 0700);
  }
  std::string Write(const std::string& name) {
    std::string path = absl::StrCat(directory_, "/", name);
    EXPECT_THAT(WriteFileAtomically(path, kConfig, 0600), IsOk());
    return path;
  }
  absl::StatusOr<ApiServer> FindServer(const std::string& path = "") {
    return FindApiServer(
        path, "", [this](absl::string_view name) { return environment_[std::string(name)]; });
  }
  const std::string directory_;
  std::map<std::string, std::string> environment_;
};

TEST_F(FindApiServerTest, TakesTheFileItIsGiven) {
  ASSERT_OK_AND_ASSIGN(const ApiServer server, FindServer(Write("mine")));
  EXPECT_EQ(server.ca_file, absl::StrCat(directory_, "/ca.pem"));
  EXPECT_THAT(FindServer(absl::StrCat(directory_, "/no")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/no")));
}

TEST_F(FindApiServerTest, TakesTheEnvironmentsThenHomes) {
  environment_["HOME"] = directory_;
  EXPECT_THAT(FindServer(), StatusIs(absl::StatusCode::kInvalidArgument,
                                     AllOf(HasSubstr("--kubeconfig"), HasSubstr(".kube/config"))));
  Write(".kube/config");
  EXPECT_THAT(FindServer(), IsOk());
  const std::string missing = absl::StrCat(directory_, "/missing");
  environment_["KUBECONFIG"] = absl::StrCat(missing, ":", directory_, "/another");
  EXPECT_THAT(FindServer(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/another")));
  environment_["KUBECONFIG"] = absl::StrCat(missing, ":", Write("env"));
  EXPECT_THAT(FindServer(), IsOk());
}

TEST_F(FindApiServerTest, SkipsAFileOfTheEnvironmentThatSaysNothing) {
  const std::string empty = Write("empty"), comment = Write("comment");
  ASSERT_THAT(WriteFileAtomically(empty, "\n", 0600), IsOk());
  ASSERT_THAT(WriteFileAtomically(comment, "# later\n", 0600), IsOk());
  environment_["KUBECONFIG"] = absl::StrCat(empty, ":", comment, ":", Write("full"));
  EXPECT_THAT(FindServer(), IsOk());
  environment_["KUBECONFIG"] = empty;
  EXPECT_THAT(FindServer(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there is no kubeconfig")));
  // One that was asked for by name is missed.
  environment_.clear();
  EXPECT_THAT(FindServer(empty), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FindApiServerTest, AsksTheMachineForWhatItDoesNotSay) {
  const std::string path = Write("bare");
  std::string text = kConfig;
  text = absl::StrReplaceAll(text, {{"    certificate-authority: ca.pem\n", ""}});
  ASSERT_THAT(WriteFileAtomically(path, text, 0600), IsOk());
  environment_["SSL_CERT_FILE"] = "/store.pem";
  environment_["HTTPS_PROXY"] = "http://proxy:3128";
  ASSERT_OK_AND_ASSIGN(ApiServer server, FindServer(path));
  EXPECT_TRUE(server.system_roots);
  EXPECT_EQ(server.ca_file, "/store.pem");
  ASSERT_TRUE(server.proxy.has_value());
  EXPECT_EQ(server.proxy->Authority(), "proxy:3128");
  environment_["NO_PROXY"] = "work.example";
  ASSERT_OK_AND_ASSIGN(server, FindServer(path));
  EXPECT_FALSE(server.proxy.has_value());
  // What it says itself comes first.
  text = absl::StrReplaceAll(text, {{"    server: https://work",
                                     "    proxy-url: http://own:1\n    server: https://work"}});
  ASSERT_THAT(WriteFileAtomically(path, text, 0600), IsOk());
  ASSERT_OK_AND_ASSIGN(server, FindServer(path));
  ASSERT_TRUE(server.proxy.has_value());
  EXPECT_EQ(server.proxy->Authority(), "own:1");
  environment_["NO_PROXY"] = "";
  environment_["HTTPS_PROXY"] = "https://proxy";
  EXPECT_THAT(FindServer(path), IsOk());
  EXPECT_THAT(FindServer(Write("mine")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("HTTPS_PROXY")));
}

TEST_F(FindApiServerTest, TakesAPodsOwn) {
  environment_["KUBERNETES_SERVICE_HOST"] = "10.96.0.1";
  environment_["KUBERNETES_SERVICE_PORT"] = "443";
  ASSERT_OK_AND_ASSIGN(const ApiServer server, FindServer());
  EXPECT_EQ(server.host, "10.96.0.1");
}

}  // namespace
}  // namespace byrnie
