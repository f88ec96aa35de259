#include "proxy/sniffer.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket_address.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/hello_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/hello_room.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using Kind = Sniffer::Kind;

class SnifferTest : public ::testing::Test {
 protected:
  explicit SnifferTest(const MemoryStreamPair::Quota& quota = {})
      : pair_(&loop_, quota, quota), client_(pair_.TakeA()), stream_(pair_.TakeB()) {
    sniffer_ = std::make_unique<Sniffer>(stream_.get(), "istio", absl::MakeSpan(scratch_), &room_,
                                         source_, [this](Kind kind) { kind_ = kind; });
    loop_.RunUntilIdle();
  }
  void Send(absl::string_view text) {
    while (!text.empty()) {
      const size_t sent = client_
                              ->Write(absl::MakeConstSpan(
                                  reinterpret_cast<const uint8_t*>(text.data()), text.size()))
                              .bytes;
      text.remove_prefix(sent);
      loop_.RunUntilIdle();
      if (sent == 0 && kind_.has_value()) return;  // Nobody reads any more.
    }
  }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> client_;
  std::unique_ptr<ByteStream> stream_;
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(16384);
  Gauge shown_;
  HelloRoom room_{&shown_};
  const IpAddress source_ = *IpAddress::Parse("10.0.0.1");
  absl::optional<Kind> kind_;
  std::unique_ptr<Sniffer> sniffer_;
};

TEST_F(SnifferTest, SaysNothingOfASilentClient) {
  EXPECT_FALSE(kind_.has_value());
  EXPECT_EQ(sniffer_->Describe(), "nothing");
}

TEST_F(SnifferTest, TellsMeshTlsFromTheApplicationsOwn) {
  Send(HelloBytes({"istio-peer-exchange", "istio"}, "outbound_.80_._.server"));
  EXPECT_EQ(kind_, Kind::kMeshTls);
}

TEST_F(SnifferTest, AHelloForSomethingElseIsTheApplicationsOwn) {
  Send(HelloBytes({"h2", "istio-peer-exchange"}, "a.example"));
  EXPECT_EQ(kind_, Kind::kOtherTls);
}

TEST_F(SnifferTest, OneByteIsEnoughForPlaintext) {
  Send("G");
  EXPECT_EQ(kind_, Kind::kPlaintext);
  EXPECT_EQ(sniffer_->TakeBytes(), "G");
}

TEST_F(SnifferTest, AMalformedHelloIsPlaintext) {
  std::string hello = HelloBytes({"istio"}, "");
  hello[5 + 4 + 2 + 32] = '\x7f';  // Longer than a session id can be.
  Send(hello);
  EXPECT_EQ(kind_, Kind::kPlaintext);
  EXPECT_THAT(sniffer_->Describe(), HasSubstr("a malformed ClientHello"));
  EXPECT_EQ(sniffer_->TakeBytes(), hello);
}

TEST_F(SnifferTest, WaitsForTheRestOfAHello) {
  const std::string hello = HelloBytes({"istio"}, "");
  Send(hello.substr(0, 700));
  EXPECT_FALSE(kind_.has_value());
  EXPECT_EQ(sniffer_->Describe(), "700 bytes of an unfinished ClientHello");
  Send(hello.substr(700) + "behind it");
  EXPECT_EQ(kind_, Kind::kMeshTls);
  EXPECT_EQ(sniffer_->TakeBytes(), hello + "behind it");
  EXPECT_EQ(room_.used(), 0u);
}

TEST_F(SnifferTest, ReadsNoMoreThanItsFirstPieceOfWhatIsNoHello) {
  Send(std::string(3 * Sniffer::kFree, 'x'));
  EXPECT_EQ(kind_, Kind::kPlaintext);
  EXPECT_EQ(sniffer_->TakeBytes().size(), Sniffer::kFree);
  std::vector<uint8_t> rest(3 * Sniffer::kFree);
  EXPECT_EQ(stream_->Read(absl::MakeSpan(rest)).bytes, 2 * Sniffer::kFree);
}

TEST_F(SnifferTest, TellsOnceThatTheFirstBytesDoNotDecide) {
  int told = 0;
  sniffer_->set_on_undecided([&told] { ++told; });
  EXPECT_FALSE(sniffer_->unfinished());
  const std::string hello = HelloBytes({"istio"}, "");
  Send(hello.substr(0, 1));
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(sniffer_->unfinished());
  Send(hello.substr(1, 10));
  Send(hello.substr(11));
  EXPECT_EQ(told, 1);
  EXPECT_EQ(kind_, Kind::kMeshTls);
  EXPECT_FALSE(sniffer_->unfinished());
}

TEST_F(SnifferTest, WhatDecidesAtOnceIsNeverUndecided) {
  sniffer_->set_on_undecided([] { ADD_FAILURE(); });
  Send("G");
  EXPECT_EQ(kind_, Kind::kPlaintext);
  EXPECT_FALSE(sniffer_->unfinished());
}

TEST_F(SnifferTest, AnEndDecidesToo) {
  Send(HelloBytes({"istio"}, "").substr(0, 700));
  client_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_EQ(kind_, Kind::kPlaintext);
}

TEST_F(SnifferTest, NoticesThatTheConnectionBroke) {
  client_.reset();
  loop_.RunUntilIdle();
  EXPECT_EQ(kind_, Kind::kLost);
}

TEST_F(SnifferTest, ALongHelloTakesRoomAndGivesItBack) {
  const std::string hello = Refragment(HelloBytes({"istio"}, ""), 1);
  ASSERT_GT(hello.size(), Sniffer::kFree + 1000);
  Send(hello.substr(0, Sniffer::kFree));
  EXPECT_EQ(room_.used(), 0u);
  Send(hello.substr(Sniffer::kFree, 1000));
  EXPECT_EQ(room_.used(), 2000u);
  Send(hello.substr(Sniffer::kFree + 1000));
  EXPECT_EQ(kind_, Kind::kMeshTls);
  EXPECT_EQ(sniffer_->TakeBytes(), hello);
  sniffer_.reset();
  EXPECT_EQ(room_.used(), 0u);
}

TEST_F(SnifferTest, WhereThereIsNoRoomAShortHelloHasIt) {
  const std::string hello = HelloBytes({"istio"}, "");
  ASSERT_LE(hello.size(), Sniffer::kFree);
  HelloRoom::Part all(&room_, source_);
  ASSERT_TRUE(all.Grow(HelloRoom::kPerSource));
  Send(hello.substr(0, hello.size() - 1));
  EXPECT_FALSE(kind_.has_value());
  Send(hello.substr(hello.size() - 1));
  EXPECT_EQ(kind_, Kind::kMeshTls);
}

TEST_F(SnifferTest, WhereThereIsNoRoomALongHelloEnds) {
  HelloRoom::Part all(&room_, source_);
  ASSERT_TRUE(all.Grow(HelloRoom::kPerSource));
  const std::string hello = Refragment(HelloBytes({"istio"}, ""), 1);
  Send(hello.substr(0, Sniffer::kFree));
  EXPECT_FALSE(kind_.has_value());
  Send(hello.substr(Sniffer::kFree, 1));
  EXPECT_EQ(kind_, Kind::kOverloaded);
  EXPECT_EQ(room_.used(), HelloRoom::kPerSource);
}

TEST_F(SnifferTest, WhatWasReadCanBeTakenBeforeTheVerdict) {
  Send(HelloBytes({"istio"}, "").substr(0, 10));
  EXPECT_EQ(sniffer_->TakeBytes().size(), 10u);
  Send("x");
  EXPECT_FALSE(kind_.has_value());
}

TEST_F(SnifferTest, PollLooksBeforeTheLoopTells) {
  client_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>("G"), 1));
  sniffer_->Poll();
  EXPECT_EQ(kind_, Kind::kPlaintext);
}

TEST_F(SnifferTest, MayDieInItsCallback) {
  sniffer_.reset();
  sniffer_ = std::make_unique<Sniffer>(stream_.get(), "istio", absl::MakeSpan(scratch_), &room_,
                                       source_, [this](Kind kind) {
                                         kind_ = kind;
                                         sniffer_.reset();
                                       });
  Send(HelloBytes({"istio"}, ""));
  EXPECT_EQ(kind_, Kind::kMeshTls);
}

class SnifferByteByByteTest : public SnifferTest {
 protected:
  SnifferByteByByteTest() : SnifferTest(MemoryStreamPair::Quota::OneByte()) {}
};

TEST_F(SnifferByteByByteTest, ReadsAPostQuantumHello) {
  const std::string hello = HelloBytes({"istio"}, "");
  Send(hello.substr(0, hello.size() - 1));
  EXPECT_FALSE(kind_.has_value());
  Send(hello.substr(hello.size() - 1));
  EXPECT_EQ(kind_, Kind::kMeshTls);
  EXPECT_EQ(sniffer_->TakeBytes(), hello);
}

}  // namespace
}  // namespace byrnie
