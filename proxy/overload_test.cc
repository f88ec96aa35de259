#include "proxy/overload.h"

#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

constexpr uint64_t kMiB = 1024 * 1024;

class OverloadTest : public ::testing::Test {
 protected:
  static std::string Reason(const absl::optional<Overload::Shed>& shed) {
    return shed.has_value() ? std::string(shed->reason) : "";
  }
  Gauge inbound_;
  Gauge outbound_;
  Gauge shedding_;
};

TEST_F(OverloadTest, TakesEverythingWithoutLimits) {
  Overload overload({}, &inbound_, &outbound_, &shedding_);
  inbound_.Set(1000000);
  overload.SetMemoryUsed(1ull << 40, 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(100000)), "");
}

TEST_F(OverloadTest, CountsConnectionsOfBothDirections) {
  Overload::Limits limits;
  limits.connections = 10;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  inbound_.Set(4);
  outbound_.Set(6);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "") << "the one that asks is counted already";
  outbound_.Set(7);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), access_reason::kTooManyConnections);
  EXPECT_EQ(Reason(overload.WhyNotTunnel(5)), "") << "a tunnel is none";
  EXPECT_EQ(Reason(overload.WhyNotStranger(5)), "") << "nor is who has proven nothing";
}

TEST_F(OverloadTest, AProofMayHaveMoreSocketsThanAConnection) {
  Overload::Limits limits;
  limits.sockets = 96;
  limits.sockets_for_proofs = 112;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  EXPECT_EQ(ReasonOf(overload.CheckDialled(96)), access_reason::kTooManySockets);
  EXPECT_THAT(overload.CheckDialled(111, Overload::Who::kProof), IsOk());
  EXPECT_EQ(ReasonOf(overload.CheckDialled(112, Overload::Who::kProof)),
            access_reason::kTooManySockets);
  EXPECT_TRUE(overload.TakesProof(111));
  EXPECT_FALSE(overload.TakesProof(112));
}

TEST_F(OverloadTest, LeavesTheLastSocketsForOthers) {
  Overload::Limits limits;
  limits.sockets = 96;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  EXPECT_EQ(Reason(overload.WhyNotConnection(95)), "");
  EXPECT_EQ(Reason(overload.WhyNotConnection(96)), access_reason::kTooManySockets);
  EXPECT_EQ(Reason(overload.WhyNotTunnel(96)), access_reason::kTooManySockets);
  EXPECT_EQ(Reason(overload.WhyNotStranger(95)), "");
  EXPECT_EQ(Reason(overload.WhyNotStranger(96)), access_reason::kTooManySockets);
  EXPECT_EQ(Reason(overload.WhyNotConnection(-1)), "") << "a stream has no socket";
  EXPECT_THAT(overload.CheckDialled(95), IsOk());
  const absl::Status full = overload.CheckDialled(96);
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(full), access_reason::kTooManySockets);
}

TEST_F(OverloadTest, LeavesTheLastEighthForThoseItKnows) {
  Overload::Limits limits;
  limits.sockets = 96;
  limits.connections = 80;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  inbound_.Set(70);
  EXPECT_EQ(Reason(overload.WhyNotConnection(83, Overload::Who::kUnknown)), "");
  EXPECT_EQ(Reason(overload.WhyNotConnection(84, Overload::Who::kUnknown)),
            access_reason::kTooManySockets);
  EXPECT_EQ(Reason(overload.WhyNotConnection(84, Overload::Who::kKnown)), "");
  EXPECT_THAT(overload.CheckDialled(83, Overload::Who::kUnknown), IsOk());
  EXPECT_EQ(ReasonOf(overload.CheckDialled(84, Overload::Who::kUnknown)),
            access_reason::kTooManySockets);
  inbound_.Set(71);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5, Overload::Who::kUnknown)),
            access_reason::kTooManyConnections);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5, Overload::Who::kKnown)), "");
}

TEST_F(OverloadTest, ShedsAboveOneMarkUntilBelowTheOther) {
  Overload::Limits limits;
  limits.memory = 100 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  EXPECT_FALSE(overload.SetMemoryUsed(84 * kMiB, 0));
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "");
  EXPECT_TRUE(overload.SetMemoryUsed(86 * kMiB, 0));
  EXPECT_EQ(shedding_.value(), 1);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), access_reason::kMemoryPressure);
  EXPECT_FALSE(overload.SetMemoryUsed(76 * kMiB, 0)) << "it has begun already";
  EXPECT_EQ(Reason(overload.WhyNotTunnel(5)), access_reason::kMemoryPressure);
  overload.SetMemoryUsed(74 * kMiB, 0);
  EXPECT_EQ(shedding_.value(), 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "");
}

TEST_F(OverloadTest, ReckonsWithWhatConnectionsMayStillTake) {
  Overload::Limits limits;
  limits.memory = 100 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  EXPECT_FALSE(overload.SetMemoryUsed(40 * kMiB, 44 * kMiB));
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "");
  EXPECT_TRUE(overload.SetMemoryUsed(40 * kMiB, 46 * kMiB));
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), access_reason::kMemoryPressure);
}

TEST_F(OverloadTest, LeavesTheLastEighthOfMemoryForThoseItKnows) {
  Overload::Limits limits;
  limits.memory = 100 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  overload.SetMemoryUsed(74 * kMiB, 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5, Overload::Who::kUnknown)), "");
  overload.SetMemoryUsed(75 * kMiB, 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5, Overload::Who::kUnknown)),
            access_reason::kMemoryPressure);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5, Overload::Who::kKnown)), "");
  EXPECT_EQ(shedding_.value(), 0);
}

// Connections that cost what new ones are taken to cost.
TEST_F(OverloadTest, NoPeerTakesWhatTheNextOneNeeds) {
  Overload::Limits limits;
  limits.memory = 256 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  uint64_t all = 0;
  const auto fill = [&] {
    size_t open = 0;
    while (open < 100000) {
      overload.SetMemoryUsed(all * Overload::kNewConnection, 0);
      if (overload.WhyNotConnection(5, Overload::Who::kKnown, open + 1).has_value()) break;
      ++open;
      ++all;
    }
    return open;
  };
  const size_t first = fill();
  const size_t second = fill();
  const size_t third = fill();
  EXPECT_GT(first, 6000u);
  EXPECT_GT(second, 600u);
  EXPECT_GT(third, 60u);
  EXPECT_EQ(shedding_.value(), 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "") << "the pod's own application";
}

TEST_F(OverloadTest, TheApplicationsOwnLeaveMemoryForWhoComes) {
  Overload::Limits limits;
  limits.memory = 256 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  uint64_t open = 0;
  while (open < 100000) {
    outbound_.Add(1);
    overload.SetMemoryUsed(open * Overload::kNewConnection, 0);
    if (overload.WhyNotOutbound(5).has_value()) break;
    ++open;
  }
  EXPECT_GT(open, 6000u);
  size_t inbound = 0;
  while (inbound < 100000) {
    overload.SetMemoryUsed((open + inbound) * Overload::kNewConnection, 0);
    if (overload.WhyNotConnection(5, Overload::Who::kKnown, inbound + 1).has_value()) break;
    ++inbound;
  }
  EXPECT_GT(inbound, 600u);
  EXPECT_EQ(shedding_.value(), 0);
}

TEST_F(OverloadTest, FollowsTheLimit) {
  Overload::Limits limits;
  limits.memory = 100 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  overload.SetMemoryUsed(40 * kMiB, 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "");
  overload.SetMemoryLimit(40 * kMiB);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), access_reason::kMemoryPressure);
  EXPECT_TRUE(overload.SetMemoryUsed(40 * kMiB, 0));
  overload.SetMemoryLimit(100 * kMiB);
  EXPECT_FALSE(overload.SetMemoryUsed(40 * kMiB, 0));
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "");
}

TEST_F(OverloadTest, ReckonsWithWhatHasNotBeenMeasuredYet) {
  Overload::Limits limits;
  limits.memory = 100 * kMiB;
  Overload overload(limits, &inbound_, &outbound_, &shedding_);
  overload.SetMemoryUsed(84 * kMiB, 0);
  int taken = 0;
  while (taken < 1000 && !overload.WhyNotConnection(5).has_value()) ++taken;
  EXPECT_EQ(taken, kMiB / Overload::kNewConnection);
  overload.SetMemoryUsed(84 * kMiB, 0);
  EXPECT_EQ(Reason(overload.WhyNotConnection(5)), "") << "measured: they cost less";
}

}  // namespace
}  // namespace byrnie
