#include "ctl/install/exec_credential.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ApiServer ServerWith(const std::string& script) {
  ApiServer server;
  server.host = server.server_name = "api.example";
  server.ca_pem = "PEM";
  ExecPlugin plugin;
  plugin.api_version = "client.authentication.k8s.io/v1";
  plugin.command = "sh";
  plugin.arguments = {"-c", script};
  plugin.environment = {{"SAID", "s3cret"}};
  plugin.interactive = false;
  plugin.wants_cluster = true;
  server.exec = std::move(plugin);
  return server;
}

TEST(RunExecPluginTest, TakesTheTokenItSays) {
  ApiServer server =
      ServerWith(R"(echo "{\"kind\": \"ExecCredential\", \"status\": {\"token\": \"$SAID\"}}")");
  ASSERT_THAT(RunExecPlugin(&server), IsOk());
  EXPECT_EQ(server.token.view(), "s3cret");
}

TEST(RunExecPluginTest, TellsItWhatItIsAsked) {
  // Only what is asked in that way gets an answer.
  ApiServer server = ServerWith(R"(case "$KUBERNETES_EXEC_INFO" in
    *'"apiVersion":"client.authentication.k8s.io/v1"'*'"interactive":false'*'https://api.example:443'*'UEVN'*)
      echo '{"kind": "ExecCredential", "status": {"token": "t"}}';;
    esac)");
  EXPECT_THAT(RunExecPlugin(&server), IsOk());
}

TEST(RunExecPluginTest, SaysWhyThereIsNoCredentialQuotingNothing) {
  const struct {
    const char* script;
    const char* message;
  } kCases[] = {
      {"echo s3cret; exit 3", "ended with 3"},
      {"kill -9 $$", "signal 9"},
      {"echo s3cret", "no JSON"},
      {R"(echo '{"kind": "Secret", "status": {"token": "s3cret"}}')", "no ExecCredential"},
      {R"(echo '{"kind": "ExecCredential", "status": {}}')", "neither a token nor"},
      {R"(echo '{"kind": "ExecCredential", "status": {"clientCertificateData": "s3cret"}}')",
       "neither a token nor"},
      {"head -c 2000000 /dev/zero", "too much"},
  };
  for (const auto& test : kCases) {
    ApiServer server = ServerWith(test.script);
    EXPECT_THAT(RunExecPlugin(&server), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 AllOf(HasSubstr(test.message), HasSubstr("\"sh\""),
                                                       Not(HasSubstr("s3cret")))))
        << test.script;
  }
}

TEST(RunExecPluginTest, SaysHowToGetAProgramThatIsNotThere) {
  ApiServer server = ServerWith("");
  server.exec->command = "/nonexistent/login";
  server.exec->install_hint = "ask IT for it";
  EXPECT_THAT(RunExecPlugin(&server),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("/nonexistent/login"), HasSubstr("ask IT for it"))));
}

TEST(TakeExecCredentialTest, TakesACertificateWithItsKey) {
  ApiServer server;
  ASSERT_THAT(TakeExecCredential(R"({"apiVersion": "client.authentication.k8s.io/v1beta1",
      "kind": "ExecCredential", "status": {"expirationTimestamp": "2030-01-01T00:00:00Z",
      "clientCertificateData": "CERT", "clientKeyData": "KEY"}})",
                                 &server),
              IsOk());
  EXPECT_EQ(server.client_chain_pem, "CERT");
  EXPECT_EQ(server.client_key_pem.view(), "KEY");
  EXPECT_TRUE(server.HasClientCertificate());
  EXPECT_FALSE(server.HasToken());
}

}  // namespace
}  // namespace byrnie
