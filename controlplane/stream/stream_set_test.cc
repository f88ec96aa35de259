#include "controlplane/stream/stream_set.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/testing/fake_clock.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class FakeStream final : public AgentStream {
 public:
  using AgentStream::AgentStream;
  void Wake() override { ++woken; }
  void End(const absl::Status& status) override { ended.push_back(status); }
  absl::optional<uint64_t> WaitingForReader() override { return waiting; }
  int woken = 0;
  absl::optional<uint64_t> waiting;
  std::vector<absl::Status> ended;
};

class StreamSetTest : public ::testing::Test {
 protected:
  ~StreamSetTest() override {
    for (FakeStream* stream : open_) set_.Remove(stream);
  }
  FakeStream* Open(absl::optional<absl::Duration> life) {
    absl::optional<PeerIdentity> peer;
    if (life.has_value()) {
      peer = PeerIdentity{*SpiffeId::Parse("spiffe://cluster.local/ns/a/sa/b"),
                          clock_.WallNow() + *life};
    }
    open_.push_back(static_cast<FakeStream*>(
        set_.Add(std::make_unique<FakeStream>(std::move(peer), "10.0.0.1:4711"))));
    return open_.back();
  }

  FakeClock clock_;
  AgentTable agents_;
  Gauge count_;
  StreamSet set_{&agents_, &count_, &clock_};
  std::vector<FakeStream*> open_;
};

TEST_F(StreamSetTest, EndsAStreamWithTheCertificateOfItsCaller) {
  FakeStream* const brief = Open(absl::Seconds(20));
  FakeStream* const longer = Open(absl::Hours(1));
  FakeStream* const anonymous = Open(absl::nullopt);
  set_.EndExpired();
  EXPECT_TRUE(brief->ended.empty());
  clock_.Advance(absl::Seconds(20));
  set_.EndExpired();
  ASSERT_EQ(brief->ended.size(), 1u);
  EXPECT_EQ(brief->ended[0].code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(longer->ended.empty());
  EXPECT_TRUE(anonymous->ended.empty());
}

TEST_F(StreamSetTest, EndsAStreamWhoseCertificateIsRevokedAndNoOther) {
  const absl::Time now = clock_.WallNow();
  const TestCa ca("td", now);
  const auto open = [&](const std::string& path) {
    CertificateChain chain = ca.IssueSvid(path).chain;
    chain.push_back(ca.root());
    PeerIdentity peer{*SpiffeId::Parse("spiffe://td" + path), now + absl::Hours(1)};
    peer.path = std::move(chain);
    open_.push_back(static_cast<FakeStream*>(
        set_.Add(std::make_unique<FakeStream>(std::move(peer), "10.0.0.1:4711"))));
    return open_.back();
  };
  const auto bundles = [&](std::vector<RevocationListPtr> lists) {
    return std::make_shared<const TrustBundleSet>(
        *TrustBundleSet::Create({{"td", TrustBundle{{ca.root()}, std::move(lists)}}}));
  };
  FakeStream* const stolen = open("/a");
  FakeStream* const other = open("/b");
  FakeStream* const anonymous = Open(absl::nullopt);
  set_.EndRevoked({1, bundles({})}, "td");
  EXPECT_TRUE(stolen->ended.empty());
  const auto lists = bundles({MakeCrl(*ca.root(), ca.key(), now, {stolen->peer()->path.front()})});
  // A list of another trust domain is about others.
  set_.EndRevoked({2, lists}, "elsewhere");
  EXPECT_TRUE(stolen->ended.empty());
  set_.EndRevoked({3, lists}, "td");
  ASSERT_EQ(stolen->ended.size(), 1u);
  EXPECT_EQ(stolen->ended[0].code(), absl::StatusCode::kUnauthenticated);
  // Until it is gone, because the second time cuts off who does not read.
  set_.EndRevoked({3, lists}, "td");
  EXPECT_EQ(stolen->ended.size(), 2u);
  EXPECT_TRUE(other->ended.empty() && anonymous->ended.empty());
}

TEST_F(StreamSetTest, WakesAllAndEndsAllAlsoLaterOnes) {
  FakeStream* const first = Open(absl::Hours(1));
  set_.WakeAll();
  EXPECT_EQ(first->woken, 1);
  set_.EndAll(absl::UnavailableError("bye"));
  EXPECT_EQ(first->ended.size(), 1u);
  EXPECT_EQ(Open(absl::Hours(1))->ended.size(), 1u);
}

TEST_F(StreamSetTest, CountsAnAgentOnceForAllItsStreams) {
  Open(absl::Hours(1));
  Open(absl::Hours(1));
  Open(absl::nullopt);
  EXPECT_EQ(count_.value(), 3);
  ASSERT_EQ(agents_.size(), 1u);
  set_.Remove(open_[0]);
  EXPECT_EQ(agents_.size(), 1u);
  set_.Remove(open_[1]);
  EXPECT_EQ(agents_.size(), 0u);
  open_.erase(open_.begin(), open_.begin() + 2);
}

TEST_F(StreamSetTest, EndsAStreamWhoseReaderTakesNothing) {
  FakeStream* const hangs = Open(absl::Hours(1));
  FakeStream* const slow = Open(absl::Hours(1));
  FakeStream* const idle = Open(absl::Hours(1));
  hangs->waiting = 7;
  for (uint64_t i = 0; i < 4; ++i) {
    slow->waiting = i;
    EXPECT_TRUE(set_.EndStalled().empty());
    EXPECT_TRUE(hangs->ended.empty());
    clock_.Advance(StreamSet::kStall / 4);
  }
  slow->waiting = absl::nullopt;
  EXPECT_EQ(set_.EndStalled(), std::vector<std::string>{"10.0.0.1:4711"});
  // Cut off, not only told.
  ASSERT_EQ(hangs->ended.size(), 2u);
  EXPECT_EQ(hangs->ended[0].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(slow->ended.empty() && idle->ended.empty());
  // Once.
  EXPECT_TRUE(set_.EndStalled().empty());
}

}  // namespace
}  // namespace byrnie
