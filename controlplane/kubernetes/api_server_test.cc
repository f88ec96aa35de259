#include "controlplane/kubernetes/api_server.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kConfig[] = R"({
  "kind": "Config", "apiVersion": "v1", "preferences": {}, "current-context": "here",
  "contexts": [
    {"name": "there", "context": {"cluster": "b", "user": "b"}},
    {"name": "here", "context": {"cluster": "a", "user": "a", "namespace": "demo"}}],
  "clusters": [{"name": "a", "cluster": {
    "server": "https://api.example:6443", "certificate-authority-data": "UEVN"}}],
  "users": [{"name": "a", "user": {"token": "s3cret"}}]})";

absl::StatusOr<ApiServer> Parse(absl::string_view from, absl::string_view to) {
  return ParseKubeconfig(absl::StrReplaceAll(kConfig, {{from, to}}), "/etc/kube");
}

TEST(KubeconfigTest, TakesTheCurrentContext) {
  ASSERT_OK_AND_ASSIGN(ApiServer server, ParseKubeconfig(kConfig, ""));
  EXPECT_EQ(server.host, "api.example");
  EXPECT_EQ(server.port, 6443);
  EXPECT_EQ(server.server_name, "api.example");
  EXPECT_EQ(server.ca_pem, "PEM");
  EXPECT_EQ(server.token.view(), "s3cret");
  EXPECT_EQ(server.Authority(), "api.example:6443");
}

TEST(KubeconfigTest, TakesFilesBesideIt) {
  ASSERT_OK_AND_ASSIGN(ApiServer server,
                       Parse(R"("certificate-authority-data": "UEVN")",
                             R"("certificate-authority": "ca.pem", "tls-server-name": "kube")"));
  EXPECT_EQ(server.ca_file, "/etc/kube/ca.pem");
  EXPECT_EQ(server.server_name, "kube");
  ASSERT_OK_AND_ASSIGN(
      server, Parse(R"("token": "s3cret")", R"("token": "s3cret", "tokenFile": "/run/token")"));
  EXPECT_EQ(server.token_file, "/run/token");
  EXPECT_TRUE(server.token.empty());
}

TEST(KubeconfigTest, TakesAddressesAndDefaultPorts) {
  ASSERT_OK_AND_ASSIGN(ApiServer server, Parse("https://api.example:6443", "https://[fd00::1]/"));
  EXPECT_EQ(server.host, "fd00::1");
  EXPECT_EQ(server.port, 443);
  EXPECT_EQ(server.Authority(), "[fd00::1]:443");
}

TEST(KubeconfigTest, RefusesWhatItWouldHaveToIgnore) {
  const struct {
    const char* from;
    const char* to;
    const char* message;
  } kCases[] = {
      {"https://api", "http://api", "is not https"},
      {"https://api.example:6443", "https://api.example:0", "no port"},
      {"https://api.example:6443", "https://user@api.example", "is not https"},
      {"https://api.example:6443", "https://api.example/clusters/c1", "is not https"},
      {R"("server")", R"("insecure-skip-tls-verify": true, "server")", "is not taken"},
      {R"("server")", R"("proxy-url": "http://p", "server")", "proxy-url"},
      {R"("certificate-authority-data": "UEVN")", R"("tls-server-name": "x")",
       "no certificate-authority"},
      {"UEVN", "?", "not base64"},
      {R"("token": "s3cret")", R"("client-certificate-data": "x")", "client-certificate-data"},
      {R"("token": "s3cret")", R"("exec": {"command": "x"})", "exec is not taken"},
      {R"("token": "s3cret")", R"("as": "admin", "token": "s3cret")", "as"},
      {R"("token": "s3cret")", "", "neither token nor tokenFile"},
      {R"("current-context": "here")", R"("current-context": "nowhere")", "nowhere"},
      {R"("current-context": "here")", R"("current-context": "there")", "\"b\""},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(Parse(test.from, test.to),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(test.message), Not(HasSubstr("s3cret")))))
        << test.to;
  }
}

TEST(KubeconfigTest, SaysHowToMakeJsonAndQuotesNothing) {
  EXPECT_THAT(ParseKubeconfig("apiVersion: v1\ntoken: s3cret\n", ""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("kubectl config view"), Not(HasSubstr("s3cret")))));
}

absl::StatusOr<ApiServer> ParsePerson(absl::string_view user, absl::string_view context = "") {
  return ParsePersonalKubeconfig(absl::StrReplaceAll(kConfig, {{R"({"token": "s3cret"})", user}}),
                                 "/etc/kube", context);
}

TEST(PersonalKubeconfigTest, TakesAClientCertificateAsDataOrFiles) {
  ASSERT_OK_AND_ASSIGN(
      ApiServer server,
      ParsePerson(R"({"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"})"));
  EXPECT_EQ(server.client_chain_pem, "CERT");
  EXPECT_EQ(server.client_key_pem.view(), "KEY");
  EXPECT_TRUE(server.HasClientCertificate());
  EXPECT_FALSE(server.HasToken());
  ASSERT_OK_AND_ASSIGN(server,
                       ParsePerson(R"({"client-certificate": "me.crt", "client-key": "/me.key"})"));
  EXPECT_EQ(server.client_chain_file, "/etc/kube/me.crt");
  EXPECT_EQ(server.client_key_file, "/me.key");
  EXPECT_TRUE(server.HasClientCertificate());
}

TEST(PersonalKubeconfigTest, TakesATokenAndAnotherContext) {
  ASSERT_OK_AND_ASSIGN(const ApiServer server, ParsePerson(R"({"token": "s3cret"})", "here"));
  EXPECT_EQ(server.token.view(), "s3cret");
  EXPECT_THAT(ParsePerson(R"({"token": "s3cret"})", "elsewhere"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("elsewhere")));
}

TEST(PersonalKubeconfigTest, TakesAnExecPlugin) {
  ASSERT_OK_AND_ASSIGN(ApiServer server, ParsePerson(R"({"exec": {
      "apiVersion": "client.authentication.k8s.io/v1beta1", "command": "cloud-login",
      "args": ["get-token"], "env": [{"name": "ZONE", "value": "a"}],
      "installHint": "ask IT", "interactiveMode": "Never", "provideClusterInfo": true}})"));
  ASSERT_TRUE(server.exec.has_value());
  EXPECT_EQ(server.exec->command, "cloud-login");
  EXPECT_THAT(server.exec->arguments, ::testing::ElementsAre("get-token"));
  EXPECT_THAT(server.exec->environment, ::testing::ElementsAre(::testing::Pair("ZONE", "a")));
  EXPECT_EQ(server.exec->install_hint, "ask IT");
  EXPECT_FALSE(server.exec->interactive);
  EXPECT_TRUE(server.exec->wants_cluster);
  // As kubectl config writes what is not given.
  ASSERT_OK_AND_ASSIGN(server, ParsePerson(R"({"exec": {
      "apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "args": null,
      "env": null}})"));
  EXPECT_EQ(server.exec->command, "/etc/kube/./login");
  EXPECT_TRUE(server.exec->interactive);
}

absl::StatusOr<ApiServer> ParseCluster(absl::string_view from, absl::string_view to) {
  return ParsePersonalKubeconfig(absl::StrReplaceAll(kConfig, {{from, to}}), "/etc/kube", "");
}

TEST(PersonalKubeconfigTest, TakesAServerWithAPath) {
  ASSERT_OK_AND_ASSIGN(ApiServer server, ParseCluster("https://api.example:6443",
                                                      "https://rancher/k8s/clusters/c-m-abc/"));
  EXPECT_EQ(server.Authority(), "rancher:443");
  EXPECT_EQ(server.path_prefix, "/k8s/clusters/c-m-abc");
  EXPECT_EQ(server.server_name, "rancher");
  EXPECT_EQ(server.Url(), "https://rancher:443/k8s/clusters/c-m-abc");
  ASSERT_OK_AND_ASSIGN(server, ParseCluster("https://api.example:6443", "https://[fd00::1]:1//"));
  EXPECT_EQ(server.path_prefix, "");
  for (const char* url : {"https://a/b c", "https://a/b?c=d", "https://a/b#c", "https://a/b\\nX: y",
                          "https:///b", "https://u@a/b"}) {
    EXPECT_THAT(ParseCluster("https://api.example:6443", url),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not https")))
        << url;
  }
}

TEST(PersonalKubeconfigTest, LeavesTheRootsToTheSystemWhereItNamesNone) {
  ASSERT_OK_AND_ASSIGN(ApiServer server, ParseCluster(R"("certificate-authority-data": "UEVN")",
                                                      R"("disable-compression": true)"));
  EXPECT_TRUE(server.system_roots);
  ASSERT_OK_AND_ASSIGN(server, ParseCluster("x", "x"));
  EXPECT_FALSE(server.system_roots);
}

TEST(PersonalKubeconfigTest, TakesAProxyOfHttp) {
  ASSERT_OK_AND_ASSIGN(
      const ApiServer server,
      ParseCluster(R"("server")", R"("proxy-url": "http://bastion:3128", "server")"));
  ASSERT_TRUE(server.proxy.has_value());
  EXPECT_EQ(server.proxy->Authority(), "bastion:3128");
  EXPECT_THAT(ParseCluster(R"("server")", R"("proxy-url": "https://me:s3cret@bastion", "server")"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("proxy-url"), HasSubstr("https is not taken"),
                             Not(HasSubstr("s3cret")))));
  EXPECT_THAT(ParseCluster(R"("server")", R"("insecure-skip-tls-verify": true, "server")"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not taken")));
}

TEST(PersonalKubeconfigTest, AsksOnBehalfOfSomebody) {
  using ::testing::ElementsAre;
  using ::testing::Pair;
  ASSERT_OK_AND_ASSIGN(const ApiServer server, ParsePerson(R"({"token": "s3cret", "as": "alice",
      "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"acme.com/why": ["x y"]}})"));
  EXPECT_THAT(server.headers,
              ElementsAre(Pair("Impersonate-User", "alice"), Pair("Impersonate-Uid", "7"),
                          Pair("Impersonate-Group", "a"), Pair("Impersonate-Group", "b"),
                          Pair("Impersonate-Extra-acme.com%2fwhy", "x y")));
  EXPECT_THAT(ParsePerson(R"({"token": "t", "as": "alice\r\nX: y"})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Impersonate-User")));
  EXPECT_THAT(ParsePerson(R"({"token": "t", "as-groups": ["system:masters"]})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("as is missing")));
}

TEST(PersonalKubeconfigTest, RefusesWhatItWouldHaveToIgnore) {
  const struct {
    const char* user;
    const char* message;
  } kCases[] = {
      {R"({"username": "a", "password": "s3cret"})", "username is not taken"},
      {R"({"auth-provider": {"name": "gcp"}})", "auth-provider is not taken"},
      {R"({"client-certificate-data": "Q0VSVA=="})", "client-key is missing"},
      {R"({"client-certificate-data": "?", "client-key-data": "S0VZ"})", "not base64"},
      {R"({"exec": {"apiVersion": "v1", "command": "x"}})", "client.authentication.k8s.io"},
      {R"({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": ""}})", "empty"},
      {R"({})", "neither token nor tokenFile"},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(ParsePerson(test.user),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(test.message), Not(HasSubstr("s3cret")))))
        << test.user;
  }
}

TEST(InClusterTest, TakesTheServiceAccountsFiles) {
  const auto environment = [](absl::string_view name) -> std::string {
    return name == "KUBERNETES_SERVICE_HOST" ? "10.96.0.1" : "443";
  };
  ASSERT_OK_AND_ASSIGN(ApiServer server, InClusterApiServer(environment, "/sa"));
  EXPECT_EQ(server.Authority(), "10.96.0.1:443");
  EXPECT_EQ(server.server_name, "10.96.0.1");
  EXPECT_EQ(server.ca_file, "/sa/ca.crt");
  EXPECT_EQ(server.token_file, "/sa/token");
}

TEST(InClusterTest, SaysThatThisIsNoPod) {
  EXPECT_THAT(InClusterApiServer([](absl::string_view) { return std::string(); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no pod")));
}

}  // namespace
}  // namespace byrnie
