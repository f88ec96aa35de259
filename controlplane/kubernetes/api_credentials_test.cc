#include "controlplane/kubernetes/api_credentials.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class ApiCredentialsTest : public ::testing::Test {
 protected:
  ApiCredentialsTest() : directory_(absl::StrCat(::testing::TempDir(), "/", ::getpid())) {
    ::mkdir(directory_.c_str(), 0700);
  }
  void Write(const std::string& name, absl::string_view text) {
    ASSERT_THAT(WriteFileAtomically(absl::StrCat(directory_, "/", name), text, 0600), IsOk());
  }
  ApiServer Server() const {
    ApiServer server;
    server.host = server.server_name = "10.96.0.1";
    server.ca_file = absl::StrCat(directory_, "/ca.crt");
    server.token_file = absl::StrCat(directory_, "/token");
    return server;
  }

  const std::string directory_;
  Logger logger_{STDERR_FILENO, Logger::Format::kText, LogLevel::kError};
  const TestCa ca_{"td", absl::FromUnixSeconds(1893456000)};
};

TEST_F(ApiCredentialsTest, ReadsTheTokenAgainWhenItsFileIsReplaced) {
  Write("token", "first\n");
  ApiCredentials credentials(Server(), &logger_);
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("first"));
  Write("token", "second");
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("second"));
}

TEST_F(ApiCredentialsTest, KeepsTheTokenWhenTheNextOneIsNone) {
  Write("token", "first");
  ApiCredentials credentials(Server(), &logger_);
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("first"));
  for (const char* bad : {"", "two words", "a\r\nHost: evil", "\n"}) {
    Write("token", bad);
    EXPECT_THAT(credentials.Token(), IsOkAndHolds("first"));
  }
  ::unlink(absl::StrCat(directory_, "/token").c_str());
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("first"));
}

// RFC 6750 has no colon; Rancher does not mind.
TEST_F(ApiCredentialsTest, TakesWhateverAHeaderFieldMayHold) {
  Write("token", "kubeconfig-u-abc:x1y2z3");
  ApiCredentials credentials(Server(), &logger_);
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("kubeconfig-u-abc:x1y2z3"));
}

TEST_F(ApiCredentialsTest, NeedsNoTokenBesideAClientCertificate) {
  const TestIdentity alice = ca_.IssueSvid("/alice");
  Write("ca.crt", ca_.root()->ToPem());
  Write("me.crt", alice.chain.front()->ToPem());
  Write("me.key", alice.key->ToPem().view());
  ApiServer server = Server();
  server.token_file.clear();
  server.client_chain_file = absl::StrCat(directory_, "/me.crt");
  server.client_key_file = absl::StrCat(directory_, "/me.key");
  ApiCredentials credentials(std::move(server), &logger_);
  EXPECT_THAT(credentials.Token(), IsOkAndHolds(""));
  EXPECT_THAT(credentials.Context(), IsOk());
}

TEST_F(ApiCredentialsTest, SaysThatTheClientsKeyIsNone) {
  Write("ca.crt", ca_.root()->ToPem());
  ApiServer server = Server();
  server.client_chain_pem = ca_.IssueSvid("/alice").chain.front()->ToPem();
  server.client_key_file = absl::StrCat(directory_, "/ca.crt");
  ApiCredentials credentials(std::move(server), &logger_);
  EXPECT_THAT(credentials.Context(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ApiCredentialsTest, SaysThatThereIsNoToken) {
  ::unlink(absl::StrCat(directory_, "/token").c_str());
  ApiCredentials credentials(Server(), &logger_);
  EXPECT_THAT(credentials.Token(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ApiCredentialsTest, ReadsATokenThatCouldNotBeReadOnce) {
  Write("token", "first");
  ApiCredentials credentials(Server(), &logger_);
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_FALSE(credentials.Token().ok());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("first"));
}

TEST_F(ApiCredentialsTest, MakesAnotherContextOnlyWhenTheCaIsAnother) {
  Write("ca.crt", ca_.root()->ToPem());
  ApiCredentials credentials(Server(), &logger_);
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const TlsContext> first, credentials.Context());
  EXPECT_EQ(first->named_server()->host, "10.96.0.1");
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const TlsContext> again, credentials.Context());
  EXPECT_EQ(first, again);
  Write("ca.crt", "garbage");
  ASSERT_OK_AND_ASSIGN(again, credentials.Context());
  EXPECT_EQ(first, again);
  const TestCa next("td", absl::FromUnixSeconds(1893456000));
  Write("ca.crt", absl::StrCat(ca_.root()->ToPem(), next.root()->ToPem()));
  ASSERT_OK_AND_ASSIGN(again, credentials.Context());
  EXPECT_NE(first, again);
  EXPECT_EQ(again->named_server()->roots.size(), 2u);
}

TEST_F(ApiCredentialsTest, TakesOfASystemsStoreWhatItUnderstands) {
  ApiServer server = Server();
  server.system_roots = true;
  ApiCredentials credentials(std::move(server), &logger_);
  // Nobody is trusted where nothing is understood.
  constexpr char kOdd[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const std::string& none :
       {std::string(), std::string("# nothing"), std::string(kOdd),
        std::string("-----END CERTIFICATE----------BEGIN CERTIFICATE-----")}) {
    Write("ca.crt", none);
    EXPECT_FALSE(credentials.Context().ok()) << none;
  }
  Write("ca.crt", absl::StrCat("# One\n", kOdd, "# Another\n", ca_.root()->ToPem(), "# End\n"));
  EXPECT_THAT(credentials.Context(), IsOk());
  // Whom a kubeconfig names is understood as a whole, or not at all.
  ApiCredentials named(Server(), &logger_);
  EXPECT_FALSE(named.Context().ok());
}

TEST_F(ApiCredentialsTest, TakesWhatAKubeconfigHasInIt) {
  ApiServer server;
  server.host = server.server_name = "api.example";
  server.ca_pem = ca_.root()->ToPem();
  std::string token = "inline";
  server.token = SecretBytes::TakeFrom(&token);
  ApiCredentials credentials(std::move(server), &logger_);
  EXPECT_THAT(credentials.Context(), IsOk());
  EXPECT_THAT(credentials.Token(), IsOkAndHolds("inline"));
}

}  // namespace
}  // namespace byrnie
