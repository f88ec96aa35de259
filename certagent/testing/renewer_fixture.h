#ifndef BYRNIE_CERTAGENT_TESTING_RENEWER_FIXTURE_H_
#define BYRNIE_CERTAGENT_TESTING_RENEWER_FIXTURE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/types/optional.h"
#include "certagent/renewer.h"
#include "certagent/testing/fake_ca_client.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "gtest/gtest.h"

namespace byrnie {

// A Renewer at a FakeCaClient, and what it has published and logged.
class RenewerFixture : public ::testing::Test {
 protected:
  struct Published {
    IdentitySnapshotPtr snapshot;
    bool rotated;
  };

  RenewerFixture() : ca_(&loop_, "cluster.local") { Make(absl::nullopt); }

  void Make(absl::optional<SpiffeId> expected) {
    Renewer::Options options;
    options.trust_domain = "cluster.local";
    options.expected_id = std::move(expected);
    options.bundles = ca_.RootBundle();
    options.random = [this] { return random_; };
    options.proofs = proofs_;
    options.has_proxy = [this] { return has_proxy_; };
    renewer_ =
        std::make_unique<Renewer>(&loop_, &ca_, &custodian_, &log_, &metrics_, std::move(options),
                                  [this](const IdentitySnapshotPtr& snapshot, bool rotated) {
                                    published_.push_back({snapshot, rotated});
                                  });
    ca_.WatchTrustBundles(nullptr, [this](absl::StatusOr<TrustBundleUpdate> update) {
      renewer_->OnTrustBundles(std::move(update));
    });
  }

  void StartAndIssue() {
    renewer_->Start();
    loop_.RunUntilIdle();
    ASSERT_EQ(published_.size(), 1u);
  }

  bool CanSignWithPublished() {
    return custodian_
        .Sign(published_.back().snapshot->leaf().FingerprintHex(), 0x0403,
              std::string(64, ' ') + "TLS 1.3, client CertificateVerify" + std::string(33, '\0'))
        .ok();
  }

  // Lines of the log with these words.
  int LinesWith(const std::string& words) const {
    std::string text(lseek(log_fd_, 0, SEEK_CUR), '\0');
    EXPECT_EQ(pread(log_fd_, &text[0], text.size(), 0), static_cast<ssize_t>(text.size()));
    int lines = 0;
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (absl::StrContains(line, words)) ++lines;
    }
    return lines;
  }

  const int log_fd_ = memfd_create("log", MFD_CLOEXEC);
  Logger log_{log_fd_, Logger::Format::kText, LogLevel::kWarning};
  MetricRegistry metrics_;
  ManualEventLoop loop_;
  FakeCaClient ca_;
  KeyCustodian custodian_{&loop_, &metrics_, {}};
  double random_ = 0.5;
  std::vector<Proof> proofs_ = {Proof::kSvid, Proof::kToken};
  bool has_proxy_ = false;
  std::vector<Published> published_;
  std::unique_ptr<Renewer> renewer_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_TESTING_RENEWER_FIXTURE_H_
