#include "controlplane/attest/pod_binding.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/base/status_matchers.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/kubernetes/testing/fake_pods.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::optional<IpAddress> At(absl::string_view text) { return *IpAddress::Parse(text); }

class PodBindingTest : public ::testing::Test {
 protected:
  PodBindingTest() {
    pod_.name = {"demo", "web-1"};
    pod_.uid = "u1";
    pod_.service_account = "web";
    pod_.node = "n1";
    pod_.ips = {*At("10.1.0.1"), *At("fd00::1")};
    pod_.host_ips = {*At("10.0.0.5")};
    pods_.Put(pod_);
  }
  absl::StatusOr<PodBinding::Judgement> Judge(const absl::optional<IpAddress>& source,
                                              PodAddressRule rule = PodAddressRule::kRequire) {
    MetricRegistry metrics;
    const PodBinding binding(rule, &pods_, &metrics);
    absl::StatusOr<PodBinding::Judgement> judgement = binding.Judge(holder_, source);
    counted_ = metrics.RenderPrometheusText();
    return judgement;
  }
  void ExpectRefused(const absl::Status& status, RefusalReason expected) {
    RefusalReason reason;
    ASSERT_TRUE(IsRefusedCredential(status, &reason)) << status;
    EXPECT_EQ(reason, expected) << status;
  }
  std::string Counted(absl::string_view at) const {
    return absl::StrCat("pod_addresses_total{at=\"", at, "\"} 1\n");
  }

  Pod pod_;
  FakePods pods_;
  PodBinding::Holder holder_{*SpiffeId::Parse("spiffe://td/ns/demo/sa/web"), {"u1", "web-1", ""}};
  std::string counted_;
};

TEST_F(PodBindingTest, TakesThePodsTokenFromThePodsAddresses) {
  for (const char* address : {"10.1.0.1", "fd00::1"}) {
    ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement, Judge(At(address)));
    EXPECT_EQ(judgement.lack, "");
    EXPECT_EQ(judgement.remark, "");
    EXPECT_EQ(judgement.node, "n1") << "as the cluster says";
    EXPECT_THAT(counted_, HasSubstr(Counted("pod")));
  }
}

// Some networks give what leaves a pod its node's address.
TEST_F(PodBindingTest, TakesItFromThePodsNode) {
  ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement, Judge(At("10.0.0.5")));
  EXPECT_EQ(judgement.lack, "");
  EXPECT_THAT(counted_, HasSubstr(Counted("node")));
}

TEST_F(PodBindingTest, RefusesItFromElsewhereWhereTheAddressHasToBeRight) {
  for (const char* address : {"10.9.9.9", "fd00::2"}) {
    const absl::Status status = Judge(At(address)).status();
    ExpectRefused(status, RefusalReason::kOtherAddress);
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr(address), HasSubstr("pod demo/web-1 (10.1.0.1, fd00::1)"),
              HasSubstr("its node (10.0.0.5)"), HasSubstr("--kubernetes_pod_address=record")));
    EXPECT_THAT(counted_, HasSubstr(Counted("elsewhere")));
  }
  ExpectRefused(Judge(absl::nullopt).status(), RefusalReason::kOtherAddress);
}

TEST_F(PodBindingTest, WritesDownThatItComesFromElsewhere) {
  ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement,
                       Judge(At("10.9.9.9"), PodAddressRule::kRecord));
  EXPECT_EQ(judgement.lack, "other-address");
  EXPECT_THAT(judgement.remark, HasSubstr("it comes from 10.9.9.9"));
  EXPECT_THAT(counted_, HasSubstr(Counted("elsewhere")));
}

TEST_F(PodBindingTest, LooksAtNoAddressWhereItIsToldNotTo) {
  ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement,
                       Judge(At("10.9.9.9"), PodAddressRule::kIgnore));
  EXPECT_EQ(judgement.lack, "");
  EXPECT_EQ(judgement.node, "n1");
  EXPECT_THAT(counted_, HasSubstr("pod_addresses_total{at=\"elsewhere\"} 0\n"));
}

// A pod's first container may run before its kubelet has told of its address.
TEST_F(PodBindingTest, HasAPodComeBackUntilItsAddressIsKnown) {
  pod_.ips.clear();
  pods_.Put(pod_);
  EXPECT_THAT(Judge(At("10.1.0.1")), StatusIs(absl::StatusCode::kUnavailable,
                                              AllOf(HasSubstr("demo/web-1"), HasSubstr("again"))));
  EXPECT_THAT(counted_, HasSubstr(Counted("unknown")));
  ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement,
                       Judge(At("10.1.0.1"), PodAddressRule::kRecord));
  EXPECT_EQ(judgement.lack, "");
  EXPECT_THAT(judgement.remark, HasSubstr("no address of that pod was known"));
  // Its node's is known sooner, and such a network shows no other.
  EXPECT_THAT(Judge(At("10.0.0.5")), IsOk());
}

TEST_F(PodBindingTest, DoesNotRefuseAPodThatItDoesNotKnowYet) {
  holder_.pod.uid = "u2";
  EXPECT_THAT(Judge(At("10.1.0.1")), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("u2")));
  for (PodAddressRule rule : {PodAddressRule::kRecord, PodAddressRule::kIgnore}) {
    ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement, Judge(At("10.1.0.1"), rule));
    EXPECT_EQ(judgement.lack, "unknown-pod");
    EXPECT_EQ(judgement.node, "");
  }
}

TEST_F(PodBindingTest, RefusesATokenOfAPodThatIsGone) {
  pods_.End("u1");
  ExpectRefused(Judge(At("10.1.0.1"), PodAddressRule::kIgnore).status(),
                RefusalReason::kUnknownToken);
}

TEST_F(PodBindingTest, RefusesWhatIsNotAsTheClusterHasIt) {
  const auto refused = [this](const PodBinding::Holder& holder, absl::string_view why) {
    holder_ = holder;
    const absl::Status status = Judge(At("10.1.0.1"), PodAddressRule::kIgnore).status();
    ExpectRefused(status, RefusalReason::kWrongClaims);
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  };
  const SpiffeId id = holder_.id;
  refused({id, {"u1", "web-2", ""}},
          "its pod's name is web-2, and that of the pod with its uid is");
  refused({id, {"u1", "", ""}}, "its pod's name is none");
  refused({id, {"u1", "web-1", "n2"}}, "its node is n2, and that of the pod with its uid is n1");
  refused({*SpiffeId::Parse("spiffe://td/ns/demo/sa/db"), {"u1", "web-1", ""}}, "/ns/demo/sa/web");
  refused({*SpiffeId::Parse("spiffe://td/ns/shop/sa/web"), {"u1", "web-1", ""}}, "/ns/demo/sa/web");
}

TEST_F(PodBindingTest, KeepsTheTokensNodeWhereTheClusterSaysNone) {
  holder_.pod.node = "n1";
  EXPECT_THAT(Judge(At("10.1.0.1")), IsOk());
  pod_.node.clear();
  pods_.Put(pod_);
  ASSERT_OK_AND_ASSIGN(PodBinding::Judgement judgement, Judge(At("10.1.0.1")));
  EXPECT_EQ(judgement.node, "n1");
}

TEST(PodBindingWithoutAClusterTest, KnowsNoPod) {
  MetricRegistry metrics;
  const PodBinding binding(PodAddressRule::kRecord, nullptr, &metrics);
  ASSERT_OK_AND_ASSIGN(
      PodBinding::Judgement judgement,
      binding.Judge({*SpiffeId::Parse("spiffe://td/ns/demo/sa/web"), {"u1", "web-1", "n7"}},
                    At("10.1.0.1")));
  EXPECT_EQ(judgement.lack, "unknown-pod");
  EXPECT_EQ(judgement.node, "n7");
}

}  // namespace
}  // namespace byrnie
