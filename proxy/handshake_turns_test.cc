#include "proxy/handshake_turns.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Outcome = HandshakeQueue::Outcome;

class HandshakeTurnsTest : public ::testing::Test {
 protected:
  // Notes what it hears.
  class Client final : public HandshakeTurns::Client {
   public:
    Client(HandshakeTurnsTest* test, std::string name) : test_(test), name_(std::move(name)) {}
    void LookAgain() override {
      test_->heard_.push_back(name_ + " looked at");
      if (speaks != 0) test_->turns_.Spoke(speaks);
    }
    void OnTurn() override { test_->heard_.push_back(name_); }
    void OnEvicted() override { test_->heard_.push_back(name_ + " evicted"); }

    // Its place, when a byte of it is there to be seen.
    uint64_t speaks = 0;

   private:
    HandshakeTurnsTest* const test_;
    const std::string name_;
  };

  HandshakeTurns::Place JoinSilent(const char* source, const char* name) {
    clients_.push_back(std::make_unique<Client>(this, name));
    return turns_.Join(*IpAddress::Parse(source), clients_.back().get());
  }
  HandshakeTurns::Place Join(const char* source, const char* name) {
    const HandshakeTurns::Place place = JoinSilent(source, name);
    turns_.Spoke(place.id);
    return place;
  }
  std::vector<std::string> Heard() {
    loop_.RunUntilIdle();
    return std::exchange(heard_, {});
  }

  ManualEventLoop loop_;
  HandshakeCounts counts_;
  Gauge open_;
  HandshakeTurns turns_{&loop_, {4, 3}, &counts_, &open_};
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::string> heard_;
};

TEST_F(HandshakeTurnsTest, SourcesTakeTurnsAndNobodyBeginsInsideTheCall) {
  Join("10.0.0.1", "a1");
  Join("10.0.0.1", "a2");
  Join("10.0.0.1", "a3");
  Join("10.0.0.2", "b1");
  EXPECT_THAT(heard_, IsEmpty());
  EXPECT_THAT(Heard(), ElementsAre("a1", "b1", "a2", "a3"));
}

TEST_F(HandshakeTurnsTest, ASourceHasNoMoreThanItsShareUntilOneLeaves) {
  const HandshakeTurns::Place first = Join("10.0.0.1", "a1");
  Join("10.0.0.1", "a2");
  Join("10.0.0.1", "a3");
  EXPECT_EQ(Join("10.0.0.1", "a4").outcome, Outcome::kSourceFull);
  EXPECT_EQ(Join("10.0.0.2", "b1").outcome, Outcome::kAdmitted);
  EXPECT_THAT(Heard(), ElementsAre("a1", "b1", "a2", "a3"));
  turns_.Leave(first.id);
  EXPECT_EQ(turns_.size(), 3u);
  EXPECT_EQ(Join("10.0.0.1", "a5").outcome, Outcome::kAdmitted);
}

TEST_F(HandshakeTurnsTest, TheHeaviestSourceMakesRoomForANewOne) {
  const HandshakeTurns::Place oldest = Join("10.0.0.1", "a1");
  Join("10.0.0.1", "a2");
  Join("10.0.0.1", "a3");
  Join("10.0.0.2", "b1");
  EXPECT_EQ(Join("10.0.0.3", "c1").outcome, Outcome::kAdmitted);
  EXPECT_THAT(Heard(), ElementsAre("a1 evicted", "a2", "b1", "c1", "a3"));
  turns_.Leave(oldest.id);  // Gone already.
  EXPECT_EQ(turns_.size(), 4u);
  EXPECT_EQ(open_.value(), 4);
}

TEST_F(HandshakeTurnsTest, WhoIsSilentHasNoTurn) {
  const HandshakeTurns::Place silent = JoinSilent("10.0.0.1", "a1");
  Join("10.0.0.1", "a2");
  EXPECT_THAT(Heard(), ElementsAre("a2"));
  turns_.Spoke(silent.id);
  turns_.Spoke(silent.id);
  EXPECT_THAT(Heard(), ElementsAre("a1"));
}

TEST_F(HandshakeTurnsTest, TheOldestSilentOneMakesRoomUnlessItHasSpokenMeanwhile) {
  const HandshakeTurns::Place first = JoinSilent("10.0.0.1", "a1");
  JoinSilent("10.0.0.1", "a2");
  JoinSilent("10.0.0.1", "a3");
  clients_[0]->speaks = first.id;
  EXPECT_EQ(JoinSilent("10.0.0.1", "a4").outcome, Outcome::kAdmitted);
  EXPECT_THAT(Heard(), ElementsAre("a1 looked at", "a2 looked at", "a2 evicted", "a1"));
  EXPECT_EQ(turns_.size(), 3u);
  EXPECT_EQ(open_.value(), 3);
}

TEST_F(HandshakeTurnsTest, WhereNobodyIsHeavierThereIsNoRoom) {
  HandshakeCounts counts;
  HandshakeTurns turns(&loop_, {2, 2}, &counts, &open_);
  Client client(this, "x");
  for (const char* source : {"10.0.0.1", "10.0.0.2"}) {
    const HandshakeTurns::Place place = turns.Join(*IpAddress::Parse(source), &client);
    EXPECT_EQ(place.outcome, Outcome::kAdmitted);
    turns.Spoke(place.id);
  }
  EXPECT_EQ(turns.Join(*IpAddress::Parse("10.0.0.3"), &client).outcome, Outcome::kFull);
}

TEST_F(HandshakeTurnsTest, WhoLeavesTheLineHasNoTurn) {
  turns_.Leave(Join("10.0.0.1", "a1").id);
  Join("10.0.0.1", "a2");
  EXPECT_THAT(Heard(), ElementsAre("a2"));
}

}  // namespace
}  // namespace byrnie
