#include "proxy/sniffer.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/fake_buffer_budget.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/hello_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using Kind = Sniffer::Kind;

class SnifferTest : public ::testing::Test {
 protected:
  explicit SnifferTest(const MemoryStreamPair::Quota& quota = {})
      : pair_(&loop_, quota, quota), client_(pair_.TakeA()), stream_(pair_.TakeB()) {
    budget_.limit = 8192;
    sniffer_ = std::make_unique<Sniffer>(stream_.get(), "istio", absl::MakeSpan(scratch_), &budget_,
                                         [this](Kind kind) { kind_ = kind; });
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
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(4096);
  FakeBufferBudget budget_;
  absl::optional<Kind> kind_;
  std::unique_ptr<Sniffer> sniffer_;
};

TEST_F(SnifferTest, SaysNothingOfASilentClient) {
  EXPECT_FALSE(kind_.has_value());
  EXPECT_EQ(sniffer_->Describe(), "nothing");
  EXPECT_EQ(budget_.held, 0);
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
  EXPECT_EQ(budget_.held, 700);
  Send(hello.substr(700) + "behind it");
  EXPECT_EQ(kind_, Kind::kMeshTls);
  EXPECT_EQ(sniffer_->TakeBytes(), hello + "behind it");
  sniffer_.reset();
  EXPECT_EQ(budget_.held, 0);
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

TEST_F(SnifferTest, KeepsNoMoreThanTheBudget) {
  Send(Refragment(HelloBytes({"istio"}, ""), 1));
  EXPECT_EQ(kind_, Kind::kOverloaded);
  EXPECT_LE(budget_.held, 8192);
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
  sniffer_ = std::make_unique<Sniffer>(stream_.get(), "istio", absl::MakeSpan(scratch_), nullptr,
                                       [this](Kind kind) {
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
