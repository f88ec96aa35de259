#include "controlplane/health/readiness.h"

#include <map>
#include <string>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "controlplane/ca/issuing_window.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class ReadinessTest : public ::testing::Test {
 protected:
  // What is reported by one look.
  std::map<std::string, bool> Update() {
    std::map<std::string, bool> reported;
    readiness_.Update([&](const std::string& name, bool serving) { reported[name] = serving; });
    return reported;
  }

  FakeClock clock_;
  MetricRegistry metrics_;
  Logger logger_{-1, Logger::Format::kText, LogLevel::kError};
  IssuingWindow window_{absl::Minutes(1), &clock_};
  Authority authority_{SelfSigned("td", clock_.WallNow()), &clock_, &window_};
  Readiness readiness_{&authority_, {"ca"}, {"discovery"}, &logger_, &metrics_};
};

TEST_F(ReadinessTest, IsThereWhileCertificatesAreIssued) {
  EXPECT_THAT(Update(), ElementsAre(Pair("", true), Pair("ca", true), Pair("discovery", true)));
  EXPECT_THAT(readiness_.Check(), IsOk());
  // Nothing new is nothing to report.
  EXPECT_THAT(Update(), IsEmpty());
}

TEST_F(ReadinessTest, IsGoneWhileEveryCertificateWouldBeRefusedForWantOfTheStore) {
  Update();
  clock_.Advance(absl::Minutes(1) + absl::Seconds(1));
  EXPECT_THAT(Update(), ElementsAre(Pair("", false), Pair("ca", false)));
  EXPECT_THAT(readiness_.Check(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("issue_without_store")));
  window_.Confirm({clock_.WallNow(), clock_.MonotonicNow()});
  EXPECT_THAT(Update(), ElementsAre(Pair("", true), Pair("ca", true)));
}

TEST_F(ReadinessTest, IsGoneOnceTheAuthorityHasEnded) {
  clock_.Advance(absl::Hours(24 * 4000));
  window_.Confirm({clock_.WallNow(), clock_.MonotonicNow()});
  EXPECT_THAT(Update(), ElementsAre(Pair("", false), Pair("ca", false), Pair("discovery", true)));
  EXPECT_THAT(readiness_.Check(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace byrnie
