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
    void OnTurn() override { test_->heard_.push_back(name_); }
    void OnEvicted() override { test_->heard_.push_back(name_ + " evicted"); }

   private:
    HandshakeTurnsTest* const test_;
    const std::string name_;
  };

  HandshakeTurns::Place Join(const char* source, const char* name) {
    clients_.push_back(std::make_unique<Client>(this, name));
    return turns_.Join(*IpAddress::Parse(source), clients_.back().get());
  }
  std::vector<std::string> Heard() {
    loop_.RunUntilIdle();
    return std::exchange(heard_, {});
  }

  ManualEventLoop loop_;
  HandshakeCounts counts_;
  HandshakeTurns turns_{&loop_, {4, 3}, &counts_};
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
}

TEST_F(HandshakeTurnsTest, WhereNobodyIsHeavierThereIsNoRoom) {
  HandshakeCounts counts;
  HandshakeTurns turns(&loop_, {2, 2}, &counts);
  Client client(this, "x");
  EXPECT_EQ(turns.Join(*IpAddress::Parse("10.0.0.1"), &client).outcome, Outcome::kAdmitted);
  EXPECT_EQ(turns.Join(*IpAddress::Parse("10.0.0.2"), &client).outcome, Outcome::kAdmitted);
  EXPECT_EQ(turns.Join(*IpAddress::Parse("10.0.0.3"), &client).outcome, Outcome::kFull);
}

TEST_F(HandshakeTurnsTest, WhoLeavesTheLineHasNoTurn) {
  turns_.Leave(Join("10.0.0.1", "a1").id);
  Join("10.0.0.1", "a2");
  EXPECT_THAT(Heard(), ElementsAre("a2"));
}

}  // namespace
}  // namespace byrnie
