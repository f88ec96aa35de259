#include "certagent/sink/file_sink.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class FileSinkTest : public ::testing::Test {
 protected:
  FileSinkTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/file-sink-XXXXXX");
    directory_ = mkdtemp(&pattern[0]);
    options_.directory.path = directory_ + "/tls";
    root_key_ = *PrivateKey::Generate();
    CertificateSpec spec;
    spec.common_name = "root";
    spec.is_ca = true;
    spec.not_before = loop_.WallNow() - absl::Hours(1);
    spec.not_after = loop_.WallNow() + absl::Hours(100);
    root_ = *BuildCertificate(spec, root_key_->PublicKeyDer(), nullptr, *root_key_);
  }
  ~FileSinkTest() override {
    sink_.reset();
    EXPECT_EQ(system(absl::StrCat("rm -rf ", directory_).c_str()), 0);
  }
  void Start() { sink_ = std::make_unique<FileSink>(&loop_, options_, &log_, &metrics_, random_); }
  void Publish() {
    key_ = *PrivateKey::Generate();
    CertificateSpec spec;
    spec.common_name = "client";
    spec.uri_sans = {"spiffe://cluster.local/ns/demo/sa/client"};
    spec.server_auth = spec.client_auth = true;
    spec.not_before = loop_.WallNow() - absl::Minutes(1);
    spec.not_after = loop_.WallNow() + absl::Hours(1);
    ASSERT_OK_AND_ASSIGN(CertificatePtr leaf,
                         BuildCertificate(spec, key_->PublicKeyDer(), root_.get(), *root_key_));
    ASSERT_OK_AND_ASSIGN(TrustBundleSet bundles,
                         TrustBundleSet::FromPem("cluster.local", root_->ToPem()));
    ASSERT_OK_AND_ASSIGN(snapshot_, IdentitySnapshot::Create(++generation_, {leaf},
                                                             std::move(bundles), loop_.WallNow()));
    sink_->Publish(snapshot_, key_);
  }
  std::string Read(const std::string& name) {
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(directory_, "/", name), 1 << 20);
    return text.ok() ? *text : text.status().ToString();
  }
  bool Counted(const std::string& text) {
    return absl::StrContains(metrics_.RenderPrometheusText(), text);
  }
  bool WaitFor(const std::string& text) {
    return loop_.RunUntil([&] { return Counted(text); });
  }

  Logger log_{open("/dev/null", O_WRONLY | O_CLOEXEC), Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  ManualEventLoop loop_;
  absl::BitGen random_;
  std::string directory_;
  FileSink::Options options_;
  std::shared_ptr<const PrivateKey> root_key_, key_;
  CertificatePtr root_;
  IdentitySnapshotPtr snapshot_;
  uint64_t generation_ = 0;
  std::unique_ptr<FileSink> sink_;
};

TEST_F(FileSinkTest, WritesChainKeyAndRoots) {
  Start();
  Publish();
  ASSERT_TRUE(WaitFor("file_sink_writes_total{result=\"written\"} 1"));
  EXPECT_EQ(Read("tls/tls.crt"), snapshot_->leaf().ToPem());
  EXPECT_EQ(Read("tls/tls.key"), std::string(key_->ToPem().view()));
  EXPECT_EQ(Read("tls/ca.crt"), root_->ToPem());
  EXPECT_THAT(sink_->status(), IsOk());
}

TEST_F(FileSinkTest, RemovesTheReplacedKeyAfterAMoment) {
  Start();
  Publish();
  ASSERT_TRUE(WaitFor("result=\"written\"} 1"));
  Publish();
  ASSERT_TRUE(WaitFor("result=\"written\"} 2"));
  EXPECT_EQ(access((directory_ + "/tls/..byrnie-0").c_str(), F_OK), 0);
  loop_.AdvanceTime(FileSink::kReplacedStays);
  EXPECT_TRUE(
      loop_.RunUntil([&] { return access((directory_ + "/tls/..byrnie-0").c_str(), F_OK) != 0; }));
  EXPECT_EQ(Read("tls/tls.key"), std::string(key_->ToPem().view()));
}

TEST_F(FileSinkTest, TriesAgainUntilTheDiskTakesIt) {
  // A file is where the directory should be.
  ASSERT_THAT(WriteFileAtomically(directory_ + "/tls", "", 0600), IsOk());
  Start();
  Publish();
  ASSERT_TRUE(WaitFor("result=\"failed\"} 1"));
  EXPECT_TRUE(Counted("byrnie_certagent_file_sink_failing 1"));
  EXPECT_FALSE(sink_->status().ok());
  loop_.AdvanceTime(absl::Seconds(2));
  ASSERT_TRUE(WaitFor("result=\"failed\"} 2"));
  ASSERT_EQ(unlink((directory_ + "/tls").c_str()), 0);
  loop_.AdvanceTime(absl::Seconds(4));
  ASSERT_TRUE(WaitFor("result=\"written\"} 1"));
  EXPECT_TRUE(Counted("byrnie_certagent_file_sink_failing 0"));
  EXPECT_EQ(Read("tls/tls.key"), std::string(key_->ToPem().view()));
}

TEST_F(FileSinkTest, WritesTheLatestWhenSeveralWait) {
  Start();
  for (int i = 0; i < 20; ++i) Publish();
  ASSERT_TRUE(
      loop_.RunUntil([&] { return Read("tls/tls.key") == std::string(key_->ToPem().view()); }));
}

TEST_F(FileSinkTest, TellsTheApplicationAfterEachChange) {
  options_.command = {"/bin/sh", "-c", "cat $0/tls/tls.crt >$0/seen", directory_};
  Start();
  Publish();
  ASSERT_TRUE(WaitFor("file_sink_hooks_total{result=\"ok\"} 1"));
  EXPECT_EQ(Read("seen"), snapshot_->leaf().ToPem());
}

TEST_F(FileSinkTest, CountsAHookThatFailsAndKeepsTheFiles) {
  options_.command = {"/bin/sh", "-c", "exit 1"};
  Start();
  Publish();
  ASSERT_TRUE(WaitFor("file_sink_hooks_total{result=\"failed\"} 1"));
  EXPECT_THAT(sink_->status(), IsOk());
  EXPECT_EQ(Read("tls/tls.key"), std::string(key_->ToPem().view()));
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_TRUE(Counted("file_sink_hooks_total{result=\"failed\"} 1"));
}

}  // namespace
}  // namespace byrnie
