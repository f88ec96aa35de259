#include "controlplane/attest/jwt_files.h"

#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class JwtFilesTest : public ::testing::Test {
 protected:
  JwtFilesTest() {
    WriteKeys("a", "k1");
    WriteKeys("b", "k1");
  }

  static std::string Path(const std::string& name) {
    return absl::StrCat(::testing::TempDir(), "/jwt_files_test.", ::getpid(), ".", name);
  }
  static void Write(const std::string& name, const std::string& content) {
    ASSERT_THAT(WriteFileAtomically(Path(name), content, 0600), IsOk());
  }
  void WriteKeys(const std::string& name, const std::string& id) {
    Write(name, JwkSetOf({JwkOf(*key_, absl::StrCat("\"kid\":\"", id, "\","))}));
  }
  // A file whose issuers are called as their key sets.
  static void WriteConfig(std::initializer_list<std::string> issuers) {
    std::string list;
    for (const std::string& name : issuers) {
      absl::StrAppend(&list, list.empty() ? "" : ",", R"({"issuer":")", name,
                      R"(","audiences":["x"],"jwks_file":")", Path(name),
                      R"(","identities":[{"claims":{"sub":"{s}"},
                          "spiffe_id":"spiffe://cluster.local/j/{s}"}]})");
    }
    Write("config", absl::StrCat("{\"issuers\":[", list, "]}"));
  }
  absl::StatusOr<std::unique_ptr<JwtFiles>> Create() {
    return JwtFiles::Create(Path("config"), "cluster.local", &log_, &metrics_);
  }
  // "a:k1 b:k1": issuers and which keys they have.
  static std::string InForce(const JwtFiles& files) {
    std::string text;
    for (const JwtTrust::Entry& entry : files.trust()->issuers) {
      absl::StrAppend(&text, text.empty() ? "" : " ", entry.issuer.name);
      for (const char* id : {"k1", "k2", "k3"}) {
        if (entry.keys->Find(id) != nullptr) absl::StrAppend(&text, ":", id);
      }
    }
    return text;
  }
  uint64_t Reads(const char* result) {
    return metrics_
        .AddCounter("byrnie_controlplane_jwt_file_reads_total",
                    "Times the file of JWT issuers or one of their key sets was read, by result.",
                    {{"result", result}})
        ->value();
  }

  Logger log_{-1, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  const std::shared_ptr<const PrivateKey> key_ = *PrivateKey::Generate();
};

TEST_F(JwtFilesTest, ReadsIssuersAndKeysAndThenWhatChanges) {
  WriteConfig({"a", "b"});
  auto files = Create();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(InForce(**files), "a:k1 b:k1");
  EXPECT_FALSE((*files)->Poll());
  const std::string digest = (*files)->trust()->digest;
  WriteKeys("b", "k2");
  EXPECT_TRUE((*files)->Poll());
  EXPECT_EQ(InForce(**files), "a:k1 b:k2");
  // Of keys, too; and what is not in force does not count.
  const std::string other_digest = (*files)->trust()->digest;
  EXPECT_NE(other_digest, digest);
  EXPECT_EQ((*Create())->trust()->digest, other_digest);
  WriteConfig({"b"});
  EXPECT_TRUE((*files)->Poll());
  EXPECT_EQ(InForce(**files), "b:k2");
  EXPECT_FALSE((*files)->Poll());
  EXPECT_EQ(Reads("ok"), 8u);
  EXPECT_EQ(Reads("rejected"), 0u);
}

TEST_F(JwtFilesTest, ABrokenFileKeepsWhatItSaidAndLetsOthersChange) {
  WriteConfig({"a", "b"});
  auto files = Create();
  ASSERT_THAT(files, IsOk());
  const std::string digest = (*files)->trust()->digest;
  for (const char* broken : {"", "{\"keys\":[]}", "no JSON"}) {
    Write("a", broken);
    (*files)->Poll();
    EXPECT_EQ(InForce(**files), "a:k1 b:k1") << broken;
    EXPECT_EQ((*files)->trust()->digest, digest) << broken;
  }
  ::unlink(Path("a").c_str());
  WriteKeys("b", "k2");
  EXPECT_TRUE((*files)->Poll());
  EXPECT_EQ(InForce(**files), "a:k1 b:k2");
  // Said once.
  EXPECT_EQ(Reads("rejected"), 4u);
  EXPECT_FALSE((*files)->Poll());
  EXPECT_EQ(Reads("rejected"), 4u);

  Write("config", "{\"issuers\":[]}");
  WriteKeys("b", "k3");
  (*files)->Poll();
  EXPECT_EQ(InForce(**files), "a:k1 b:k3");
  ::unlink(Path("config").c_str());
  (*files)->Poll();
  EXPECT_EQ(InForce(**files), "a:k1 b:k3");
  WriteKeys("a", "k3");
  (*files)->Poll();
  EXPECT_EQ(InForce(**files), "a:k3 b:k3");
}

TEST_F(JwtFilesTest, IssuersComeIntoForceWhenTheirKeysAreThere) {
  WriteConfig({"a"});
  ::unlink(Path("new").c_str());
  auto files = Create();
  ASSERT_THAT(files, IsOk());
  WriteConfig({"b", "new"});
  (*files)->Poll();
  EXPECT_EQ(InForce(**files), "a:k1");
  WriteKeys("a", "k2");
  (*files)->Poll();
  EXPECT_EQ(InForce(**files), "a:k2");
  WriteKeys("new", "k2");
  EXPECT_TRUE((*files)->Poll());
  EXPECT_EQ(InForce(**files), "b:k1 new:k2");
}

TEST_F(JwtFilesTest, SaysAtStartWhatIsWrong) {
  ::unlink(Path("config").c_str());
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("--jwt_config: ")));
  WriteConfig({"a", "missing"});
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing")));
  Write("missing", "{}");
  EXPECT_THAT(Create(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"keys\" is missing")));
  Write("config", "{\"issuers\":[{}]}");
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr("issuers[0]: \"issuer\" is missing")));
}

}  // namespace
}  // namespace byrnie
