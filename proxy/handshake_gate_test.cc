#include "proxy/handshake_gate.h"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HandshakeGateTest : public ::testing::Test, public HandshakeGate::Handler {
 protected:
  void Make(size_t total, size_t per_source) {
    HandshakeGate::Options options;
    options.limits = {total, per_source};
    gate_ = std::make_unique<HandshakeGate>(&loop_, options, &counts_, this);
  }
  // A connection from `source`; the end that the peer holds.
  int Connect(const std::string& source) {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    peers_.emplace_back(fds[0]);
    gate_->Accept(*TcpStream::Create(&loop_, UniqueFd(fds[1])),
                  SocketAddress(*IpAddress::Parse(source), 4000), *IpAddress::Parse("10.0.0.1"));
    return fds[0];
  }
  void Speak(int fd) { EXPECT_EQ(send(fd, "x", 1, 0), 1); }

  void OnTurn(HandshakeGate::Arrival arrival) override { turns_.push_back(std::move(arrival)); }
  void OnRefused(const HandshakeGate::Arrival& arrival, absl::string_view reason,
                 std::string) override {
    refused_.push_back(absl::StrCat(arrival.source.ip().ToString(), " ", reason));
  }
  void OnEvicted(uint64_t id) override { evicted_.push_back(id); }
  std::vector<std::string> Sources() const {
    std::vector<std::string> sources;
    for (const auto& arrival : turns_) sources.push_back(arrival.source.ip().ToString());
    return sources;
  }

  ManualEventLoop loop_;
  HandshakeCounts counts_;
  std::vector<UniqueFd> peers_;
  std::vector<HandshakeGate::Arrival> turns_;
  std::vector<std::string> refused_;
  std::vector<uint64_t> evicted_;
  std::unique_ptr<HandshakeGate> gate_;
};

TEST_F(HandshakeGateTest, WhoeverSpeaksIsHandedOnWithEverythingItSaid) {
  Make(10, 10);
  const int peer = Connect("10.0.0.2");
  loop_.RunUntilIdle();
  EXPECT_THAT(turns_, IsEmpty());
  Speak(peer);
  loop_.RunUntilIdle();
  ASSERT_THAT(turns_, SizeIs(1));
  uint8_t buffer[8];
  EXPECT_EQ(turns_[0].stream->Read(absl::MakeSpan(buffer)).bytes, 1u);
  EXPECT_EQ(gate_->size(), 1u);
  gate_->Done(turns_[0].id);
  EXPECT_EQ(gate_->size(), 0u);
  loop_.AdvanceTime(absl::Seconds(10));
  EXPECT_THAT(refused_, IsEmpty());
}

TEST_F(HandshakeGateTest, OneThatSpeaksLateIsWaitedForWhileThereIsRoom) {
  Make(10, 10);
  const int peer = Connect("10.0.0.2");
  loop_.AdvanceTime(absl::Milliseconds(1500));
  EXPECT_THAT(refused_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(3490));
  EXPECT_THAT(refused_, IsEmpty());
  Speak(peer);
  loop_.RunUntilIdle();
  EXPECT_THAT(turns_, SizeIs(1));
}

TEST_F(HandshakeGateTest, OneThatSaysNothingIsEndedWithTheTimeForItsHandshake) {
  Make(10, 10);
  Connect("10.0.0.2");
  loop_.AdvanceTime(absl::Milliseconds(4990));
  EXPECT_THAT(refused_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(20));
  EXPECT_THAT(refused_, ElementsAre(absl::StrCat("10.0.0.2 ", tunnel_reason::kHandshakeSilent)));
  EXPECT_EQ(gate_->size(), 0u);
}

TEST_F(HandshakeGateTest, InADrainOneThatSaysNothingIsEndedAfterASecond) {
  Make(10, 10);
  Connect("10.0.0.2");
  loop_.AdvanceTime(absl::Milliseconds(1500));
  gate_->Hurry();
  Connect("10.0.0.3");
  loop_.AdvanceTime(absl::Milliseconds(600));
  EXPECT_THAT(refused_, SizeIs(1));
  loop_.AdvanceTime(absl::Milliseconds(500));
  EXPECT_THAT(refused_, SizeIs(2));
}

TEST_F(HandshakeGateTest, OneThatSaysNothingIsEndedAfterASecondWhereOthersNeedTheRoom) {
  Make(10, 2);
  Connect("10.0.0.3");
  loop_.AdvanceTime(absl::Milliseconds(500));
  const int peer = Connect("10.0.0.2");
  Connect("10.0.0.2");
  loop_.AdvanceTime(absl::Milliseconds(990));
  EXPECT_THAT(refused_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(20));
  // The first of the two makes the source an ordinary one.
  EXPECT_THAT(refused_, ElementsAre(absl::StrCat("10.0.0.2 ", tunnel_reason::kHandshakeSilent)));
  EXPECT_EQ(gate_->size(), 2u);
  char byte;
  EXPECT_TRUE(recv(peer, &byte, 1, 0) == 0 || errno == ECONNRESET);
}

TEST_F(HandshakeGateTest, BytesThatCameButWereNotLookedAtAreNotSilence) {
  Make(10, 10);
  const int peer = Connect("10.0.0.2");
  loop_.RunUntilIdle();
  Speak(peer);
  // The timer fires in the turn that sees the edge, before the upcall.
  loop_.clock()->Advance(absl::Seconds(2));
  loop_.RunUntilIdle();
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_THAT(turns_, SizeIs(1));
}

TEST_F(HandshakeGateTest, BeginsOneHandshakeATurnAndLetsSourcesAlternate) {
  Make(20, 10);
  std::vector<int> peers;
  for (int i = 0; i < 3; ++i) peers.push_back(Connect("10.0.0.2"));
  peers.push_back(Connect("10.0.0.3"));
  loop_.RunUntilIdle();
  for (int peer : peers) Speak(peer);
  size_t before = 0;
  while (loop_.RunOnce()) {
    EXPECT_LE(turns_.size(), before + 1);
    before = turns_.size();
  }
  EXPECT_THAT(Sources(), ElementsAre("10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.2"));
}

TEST_F(HandshakeGateTest, TheOldestSilentOneMakesRoom) {
  Make(2, 2);
  Connect("10.0.0.2");
  Connect("10.0.0.3");
  loop_.RunUntilIdle();
  const int honest = Connect("10.0.0.4");
  EXPECT_THAT(refused_, ElementsAre(absl::StrCat("10.0.0.2 ", tunnel_reason::kHandshakeEvicted)));
  Speak(honest);
  loop_.RunUntilIdle();
  EXPECT_THAT(Sources(), ElementsAre("10.0.0.4"));
}

TEST_F(HandshakeGateTest, OneThatHasJustSpokenDoesNotMakeRoomAsSilent) {
  Make(2, 2);
  const int spoken = Connect("10.0.0.2");
  Connect("10.0.0.3");
  loop_.RunUntilIdle();
  Speak(spoken);
  Connect("10.0.0.4");
  EXPECT_THAT(refused_, ElementsAre(absl::StrCat("10.0.0.3 ", tunnel_reason::kHandshakeEvicted)));
}

TEST_F(HandshakeGateTest, PastItsShareASourceIsRefusedAndOthersAreNot) {
  Make(10, 2);
  for (int i = 0; i < 2; ++i) Speak(Connect("10.0.0.2"));
  loop_.RunUntilIdle();
  Connect("10.0.0.2");
  EXPECT_THAT(refused_,
              ElementsAre(absl::StrCat("10.0.0.2 ", tunnel_reason::kHandshakeSourceLimit)));
  Speak(Connect("10.0.0.3"));
  loop_.RunUntilIdle();
  EXPECT_THAT(Sources(), ElementsAre("10.0.0.2", "10.0.0.2", "10.0.0.3"));
}

TEST_F(HandshakeGateTest, AHandshakeUnderWayMakesRoomForAnotherSource) {
  Make(2, 2);
  for (int i = 0; i < 2; ++i) Speak(Connect("10.0.0.2"));
  loop_.RunUntilIdle();
  ASSERT_THAT(turns_, SizeIs(2));
  Connect("10.0.0.3");
  EXPECT_THAT(evicted_, ElementsAre(turns_[0].id));
  Speak(peers_[2].get());
  loop_.RunUntilIdle();
  // One each: nobody has more than a newcomer would.
  Connect("10.0.0.4");
  EXPECT_THAT(refused_, ElementsAre(absl::StrCat("10.0.0.4 ", tunnel_reason::kHandshakeLimit)));
}

TEST_F(HandshakeGateTest, GoneWithConnectionsInEveryState) {
  Make(10, 10);
  Speak(Connect("10.0.0.2"));
  Speak(Connect("10.0.0.2"));
  Connect("10.0.0.2");
  loop_.RunOnce();
  gate_.reset();
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Seconds(10));
  EXPECT_THAT(refused_, IsEmpty());
}

}  // namespace
}  // namespace byrnie
