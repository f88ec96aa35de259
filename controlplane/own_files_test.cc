#include "controlplane/own_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/crypto/pem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OwnFilesTest : public ::testing::Test {
 protected:
  OwnFilesTest() {
    ::mkdir(folder_.c_str(), 0700);
    options_.store.sqlite_path = Path("s.db");
    options_.store_key_path = Path("key");
    options_.registry_path = Path("registry.json");
    options_.trust_bundle_out = Path("bundle.pem");
    options_.operator_token_out = Path("token");
    options_.issuance_spool = Path("spool.db");
  }
  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }
  void Put(const std::string& name, const std::string& content) {
    ASSERT_THAT(WriteFileAtomically(Path(name), content, 0600), IsOk());
  }
  absl::Status Check() { return CheckOwnFiles(options_, {Path("issuer.jwks")}); }
  void ExpectClash(const std::string& one, const std::string& other) {
    EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kInvalidArgument,
                                  AllOf(StartsWith(absl::StrCat("--", one, ": ")),
                                        HasSubstr(absl::StrCat("a file of --", other, ",")),
                                        HasSubstr("give each a path of its own"))));
  }

  const std::string folder_ =
      absl::StrCat(::testing::TempDir(), "own_files_",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  ControlPlaneOptions options_;
};

TEST_F(OwnFilesTest, FilesOfTheirOwnAreGood) {
  EXPECT_THAT(Check(), IsOk());
  Put("token", absl::StrCat(std::string(43, 'a'), "\n"));
  Put("bundle.pem", absl::StrCat(ToPem("one", "CERTIFICATE"), ToPem("two", "CERTIFICATE")));
  Put("s.db", "SQLite");
  Put("spool.db", "SQLite");
  Put("registry.json", "{}");
  EXPECT_THAT(Check(), IsOk());
  Put("token", "\n");
  Put("bundle.pem", "");
  EXPECT_THAT(Check(), IsOk());
  options_.trust_bundle_out = options_.operator_token_out = options_.issuance_spool = "";
  options_.store_key_path = "";
  EXPECT_THAT(Check(), IsOk());
}

TEST_F(OwnFilesTest, NothingIsWrittenOverTheStoreOrItsKey) {
  options_.operator_token_out = Path("key");
  ExpectClash("operator_token_out", "store_key");
  Put("key", "0123");
  ExpectClash("operator_token_out", "store_key");
  options_.operator_token_out = Path("token");
  for (const char* beside : {"", "-wal", "-shm", "-journal", ".lock"}) {
    options_.trust_bundle_out = absl::StrCat(Path("s.db"), beside);
    ExpectClash("trust_bundle_out", "store");
    options_.trust_bundle_out = absl::StrCat(Path("spool.db"), beside);
    ExpectClash("trust_bundle_out", "issuance_spool");
  }
  options_.trust_bundle_out = Path("bundle.pem");
  options_.issuance_spool = Path("s.db");
  ExpectClash("issuance_spool", "store");
}

TEST_F(OwnFilesTest, NothingIsWrittenOverWhatIsRead) {
  options_.plugged_ca = folder_;
  options_.crls = {{"cluster.local", Path("list.crl")}};
  options_.federated_bundles = {{"other", Path("other.pem")}};
  options_.jwt_config_path = Path("jwt.json");
  options_.store.etcd_key_path = Path("etcd.key");
  options_.config_path = Path("flags.json");
  for (const auto& [file, flag] :
       std::vector<std::pair<std::string, std::string>>{{"registry.json", "registry"},
                                                        {"ca-key.pem", "ca"},
                                                        {"root-cert.pem", "ca"},
                                                        {"list.crl", "crl"},
                                                        {"other.pem", "federated_bundle"},
                                                        {"jwt.json", "jwt_config"},
                                                        {"issuer.jwks", "jwt_config"},
                                                        {"etcd.key", "etcd_key"},
                                                        {"flags.json", "config"}}) {
    options_.trust_bundle_out = Path(file);
    ExpectClash("trust_bundle_out", flag);
  }
  options_.trust_bundle_out = options_.operator_token_out;
  ExpectClash("trust_bundle_out", "operator_token_out");
}

TEST_F(OwnFilesTest, AFileIsTheSameHoweverItsPathIsWritten) {
  options_.trust_bundle_out =
      absl::StrCat(folder_, "/./../", folder_.substr(folder_.rfind('/') + 1), "/s.db");
  ExpectClash("trust_bundle_out", "store");
  // Also by a link, to the folder or to the file.
  const std::string link = absl::StrCat(folder_, "_link");
  ::unlink(link.c_str());
  ASSERT_EQ(::symlink(folder_.c_str(), link.c_str()), 0);
  options_.trust_bundle_out = absl::StrCat(link, "/s.db");
  ExpectClash("trust_bundle_out", "store");
  Put("s.db", "SQLite");
  ::unlink(Path("hard").c_str());
  ASSERT_EQ(::link(Path("s.db").c_str(), Path("hard").c_str()), 0);
  options_.trust_bundle_out = Path("hard");
  ExpectClash("trust_bundle_out", "store");
}

TEST_F(OwnFilesTest, WhatIsNotOursIsNotWrittenOver) {
  for (const std::string& content :
       {std::string("my precious notes\n"), ToPem("key", "PRIVATE KEY"),
        absl::StrCat("notes\n", ToPem("one", "CERTIFICATE")),
        absl::StrCat(std::string(43, 'a'), "\n", std::string(43, 'a'), "\n")}) {
    Put("bundle.pem", content);
    EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kInvalidArgument,
                                  AllOf(StartsWith("--trust_bundle_out: \""),
                                        HasSubstr("is no trust bundle"),
                                        HasSubstr("give a path where nothing else is"))));
    ASSERT_EQ(::unlink(Path("bundle.pem").c_str()), 0);
    Put("token", content);
    EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kInvalidArgument,
                                  AllOf(StartsWith("--operator_token_out: \""),
                                        HasSubstr("is no operator's token"))));
    ASSERT_EQ(::unlink(Path("token").c_str()), 0);
  }
  options_.trust_bundle_out = folder_;
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kInvalidArgument,
                                AllOf(StartsWith("--trust_bundle_out: cannot read"),
                                      HasSubstr("give a path"))));
}

}  // namespace
}  // namespace byrnie
