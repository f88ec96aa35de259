#include "certagent/identity_pages.h"

#include <fcntl.h>

#include <memory>

#include "certagent/testing/fake_ca_client.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class IdentityPagesTest : public ::testing::Test {
 protected:
  IdentityPagesTest() : ca_(&loop_, "cluster.local"), custodian_(&loop_, &metrics_, {}) {
    Renewer::Options options;
    options.trust_domain = "cluster.local";
    options.bundles = ca_.RootBundle();
    options.random = [] { return 0.5; };
    renewer_ =
        std::make_unique<Renewer>(&loop_, &ca_, &custodian_, &log_, &metrics_, std::move(options),
                                  [](const IdentitySnapshotPtr&, bool) {});
  }

  Logger log_{open("/dev/null", O_WRONLY | O_CLOEXEC), Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  ManualEventLoop loop_;
  FakeCaClient ca_;
  KeyCustodian custodian_;
  std::unique_ptr<Renewer> renewer_;
};

TEST_F(IdentityPagesTest, SayWhatIsMissingBeforeTheFirstCertificate) {
  renewer_->Start();
  EXPECT_THAT(CertsJson(*renewer_, loop_.WallNow()),
              AllOf(HasSubstr("\"state\": \"none\""), HasSubstr("\"valid\": false"),
                    HasSubstr("an attempt is under way")));
  EXPECT_THAT(BundlesJson(*renewer_, absl::nullopt, loop_.WallNow()),
              AllOf(HasSubstr("\"in_force\": false"), HasSubstr("\"proxy\": \"not connected\"")));
}

TEST_F(IdentityPagesTest, ShowTheChainTheRootsAndTheNextRenewal) {
  renewer_->Start();
  loop_.RunUntilIdle();
  ASSERT_NE(renewer_->snapshot(), nullptr);
  const absl::Time now = loop_.WallNow();
  EXPECT_THAT(
      CertsJson(*renewer_, now),
      AllOf(HasSubstr("\"state\": \"valid\""), HasSubstr(renewer_->snapshot()->leaf().SerialHex()),
            HasSubstr("half of the certificate's life"), HasSubstr("\"next_attempt\""),
            Not(HasSubstr("PRIVATE"))));
  const std::string root = renewer_->snapshot()->bundles().bundles().begin()->first;
  EXPECT_THAT(BundlesJson(*renewer_, 0, now),
              AllOf(HasSubstr("\"proxy\": \"not in force yet\""), HasSubstr(root),
                    HasSubstr("\"fingerprint_sha256\""), HasSubstr("\"not_after\"")));
  EXPECT_THAT(BundlesJson(*renewer_, renewer_->snapshot()->generation(), now),
              HasSubstr("\"proxy\": \"in force\""));
}

TEST_F(IdentityPagesTest, SayThatACertificateHasExpired) {
  renewer_->Start();
  loop_.RunUntilIdle();
  EXPECT_EQ(CertificateState(*renewer_, renewer_->snapshot()->not_after()), "expired");
  EXPECT_EQ(
      CertificateState(*renewer_, renewer_->snapshot()->leaf().not_before() - absl::Seconds(1)),
      "not yet valid");
}

}  // namespace
}  // namespace byrnie
