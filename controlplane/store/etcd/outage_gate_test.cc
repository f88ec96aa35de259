#include "controlplane/store/etcd/outage_gate.h"

#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

const absl::Status kAway = absl::UnavailableError("away");

TEST(OutageGateTest, LetsEverybodyThroughWhileThereAreAnswers) {
  OutageGate gate;
  OutageGate::Pass first(&gate);
  OutageGate::Pass second(&gate);
  EXPECT_THAT(first.refusal(), IsOk());
  EXPECT_THAT(second.refusal(), IsOk());
}

TEST(OutageGateTest, LetsOneThroughWhileThereAreNone) {
  OutageGate gate;
  {
    OutageGate::Pass first(&gate);
    first.Ended(kAway);
  }
  absl::optional<OutageGate::Pass> probe(absl::in_place, &gate);
  EXPECT_THAT(probe->refusal(), IsOk());
  for (int i = 0; i < 2; ++i) {
    OutageGate::Pass refused(&gate);
    EXPECT_THAT(refused.refusal(), StatusIs(absl::StatusCode::kUnavailable, "away"));
  }
  probe->Ended(absl::UnavailableError("still away"));
  probe.reset();
  probe.emplace(&gate);
  EXPECT_THAT(probe->refusal(), IsOk());
  EXPECT_THAT(OutageGate::Pass(&gate).refusal(),
              StatusIs(absl::StatusCode::kUnavailable, "still away"));
  probe->Ended(absl::OkStatus());
  EXPECT_THAT(OutageGate::Pass(&gate).refusal(), IsOk());
}

TEST(OutageGateTest, AProbeThatSaysNothingLetsTheNextOneTry) {
  OutageGate gate;
  { OutageGate::Pass(&gate).Ended(kAway); }
  { OutageGate::Pass probe(&gate); }
  EXPECT_THAT(OutageGate::Pass(&gate).refusal(), IsOk());
}

}  // namespace
}  // namespace byrnie
