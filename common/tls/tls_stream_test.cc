#include "common/tls/tls_stream.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/net/end_code.h"
#include "common/net/scratch_pool.h"
#include "common/net/testing/counted_stream.h"
#include "common/net/testing/fake_buffer_budget.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/peer_alert.h"
#include "common/tls/session_fault.h"
#include "common/tls/testing/tls_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Side = MemoryStreamPair::Side;

class TlsStreamTest : public TlsPairTest {};

TEST_F(TlsStreamTest, MovesBytesBothWaysAndClosesOneDirectionAfterTheOther) {
  Connect();
  client_.Send("question", /*then_shutdown=*/true);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "question");
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
  EXPECT_EQ(client_.last_read_, IoStatus::kWouldBlock);
  server_.Send("answer after the end", /*then_shutdown=*/true);
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.received_, "answer after the end");
  EXPECT_EQ(client_.last_read_, IoStatus::kEof);
  EXPECT_TRUE(client_.stream_->Flushed());
  EXPECT_THAT(client_.stream_->error(), IsOk());
}

TEST_F(TlsStreamTest, TellsWhoDoesNotReadOfALossWhereAsked) {
  struct : ByteStream::Observer {
    void OnReadable() override { ++readable; }
    void OnWritable() override {}
    int readable = 0;
  } observer;
  Connect();
  server_.stream_->SetObserver(&observer);
  server_.stream_->HearOfLoss(true);
  client_.Send("hello");
  loop_.RunUntilIdle();
  EXPECT_FALSE(server_.stream_->Lost());
  const int before = observer.readable;
  pair_->Fail(absl::UnavailableError("connection lost"));
  loop_.RunUntilIdle();
  EXPECT_TRUE(server_.stream_->Lost());
  EXPECT_EQ(observer.readable, before + 1);
  // What had come is there.
  server_.OnReadable();
  EXPECT_EQ(server_.received_, "hello");
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, IsNotLostByAResetThatAnswersItsOwnEnd) {
  Connect();
  client_.Send("question", /*then_shutdown=*/true);
  loop_.RunUntilIdle();
  pair_->Fail(absl::UnavailableError("connection lost"));
  EXPECT_FALSE(client_.stream_->Lost());
}

// A transport that keeps its end to itself as long as it is told to.
class LateEnd final : public ByteStream {
 public:
  LateEnd(std::unique_ptr<ByteStream> inner, const bool* held)
      : inner_(std::move(inner)), held_(held) {}
  void SetObserver(Observer* observer) override {
    observer_ = observer;
    inner_->SetObserver(observer);
  }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    const IoResult result = inner_->Read(buffer);
    const bool ended = result.status == IoStatus::kEof || result.status == IoStatus::kError;
    return ended && *held_ ? IoResult{0, IoStatus::kWouldBlock} : result;
  }
  IoResult Write(absl::Span<const uint8_t> data) override { return inner_->Write(data); }
  void ShutdownWrite() override { inner_->ShutdownWrite(); }
  void Reset() override { inner_->Reset(); }
  bool Flushed() const override { return inner_->Flushed(); }
  absl::Status error() const override { return inner_->error(); }
  void TellEnd() { observer_->OnReadable(); }

 private:
  std::unique_ptr<ByteStream> inner_;
  const bool* const held_;
  Observer* observer_ = nullptr;
};

class TlsStreamEndTest : public TlsStreamTest {
 protected:
  // Both directions have ended, and only the transport's end is due at the client.
  void EndBoth() {
    auto transport = std::make_unique<LateEnd>(pair_->TakeA(), &held_);
    transport_ = transport.get();
    client_.Start(&loop_, std::move(transport), GoodContext(TlsRole::kClient), {});
    StartServer(GoodContext(TlsRole::kServer));
    loop_.RunUntilIdle();
    client_.Send("question", true);
    loop_.RunUntilIdle();
    server_.Send("answer", true);
    loop_.RunUntilIdle();
    ASSERT_EQ(client_.received_, "answer");
    ASSERT_EQ(client_.last_read_, IoStatus::kEof);
    EXPECT_TRUE(server_.stream_->Flushed());
  }
  bool held_ = true;
  LateEnd* transport_ = nullptr;  // The client's.
};

TEST_F(TlsStreamEndTest, OfTheClientIsFlushedWithTheTransportsEnd) {
  EndBoth();
  EXPECT_FALSE(client_.stream_->Flushed());
  held_ = false;
  transport_->TellEnd();
  EXPECT_TRUE(client_.stream_->Flushed());
  EXPECT_THAT(client_.stream_->error(), IsOk());
}

TEST_F(TlsStreamEndTest, OfTheClientIsFlushedByAResetInPlaceOfTheTransportsEnd) {
  EndBoth();
  EXPECT_FALSE(client_.stream_->Flushed());
  server_.stream_->Reset();
  loop_.RunUntilIdle();
  held_ = false;
  transport_->TellEnd();
  EXPECT_TRUE(client_.stream_->Flushed());
  EXPECT_THAT(client_.stream_->error(), IsOk()) << "nothing was lost";
}

TEST_F(TlsStreamEndTest, OfTheClientIsNotWaitedForForLong) {
  EndBoth();
  EXPECT_FALSE(client_.stream_->Flushed());
  loop_.AdvanceTime(absl::Seconds(1));
  loop_.RunUntilIdle();
  EXPECT_TRUE(client_.stream_->Flushed());
}

TEST_F(TlsStreamTest, TheServerMayCloseFirst) {
  Connect();
  server_.Send("bye", true);
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.last_read_, IoStatus::kEof);
  client_.Send("and still", true);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "and still");
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
}

TEST_F(TlsStreamTest, WorksOneByteAtATime) {
  Pair(MemoryStreamPair::Quota::OneByte(), MemoryStreamPair::Quota::OneByte());
  StartBoth();
  loop_.RunUntilIdle();
  ASSERT_THAT(client_.handshake(), IsOk());
  ASSERT_THAT(server_.handshake(), IsOk());
  client_.Send(std::string(3000, 'c'), true);
  server_.Send(std::string(3000, 's'), true);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, std::string(3000, 'c'));
  EXPECT_EQ(client_.received_, std::string(3000, 's'));
  EXPECT_EQ(client_.last_read_, IoStatus::kEof);
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
}

TEST_F(TlsStreamTest, CarriesABigTransferUnchanged) {
  Connect();
  std::string data(5'000'000, '\0');
  uint32_t x = 1;
  for (char& c : data) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  client_.Send(data, true);
  server_.Send(data, true);
  loop_.RunUntilIdle();
  EXPECT_TRUE(server_.received_ == data);
  EXPECT_TRUE(client_.received_ == data);
}

TEST_F(TlsStreamTest, BlocksTheWriterWithBoundedMemoryWhenNobodyReads) {
  Connect();
  server_.reading_ = false;
  client_.Send(std::string(10'000'000, 'x'));
  loop_.RunUntilIdle();
  EXPECT_LT(client_.sent_, 300'000u);
  EXPECT_LT(client_.stream_->buffered_bytes(), 200'000u);
  EXPECT_LE(server_.stream_->buffered_bytes(), 64u * 1024);
  server_.reading_ = true;
  server_.OnReadable();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_.size(), 10'000'000u);
}

TEST_F(TlsStreamTest, ChangesItsKeyBeforeItHasSealedTooMuch) {
  TlsStream::Options options;
  options.records_per_key = 10;
  StartClient(GoodContext(TlsRole::kClient), options);
  StartServer(GoodContext(TlsRole::kServer));
  loop_.RunUntilIdle();
  std::string sent;
  for (int i = 0; i < 95; ++i) {
    const std::string record(1000, static_cast<char>(i));
    sent += record;
    client_.Send(record);
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(server_.received_, sent);
  EXPECT_EQ(client_.stream_->sending_keys(), 10u);
  EXPECT_EQ(server_.stream_->sending_keys(), 1u) << "each end changes its own";
}

TEST_F(TlsStreamTest, HoldsNoBufferWhileIdle) {
  Connect();
  client_.Send(std::string(500'000, 'x'));
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.stream_->buffered_bytes(), 0u);
  EXPECT_EQ(server_.stream_->buffered_bytes(), 0u);
}

TEST_F(TlsStreamTest, ShutsDownAfterTheHandshakeWhenAskedBefore) {
  StartBoth();
  client_.stream_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.last_read_, IoStatus::kEof);
}

TEST_F(TlsStreamTest, ReportsATransportEndWithoutCloseNotifyAsTruncation) {
  Connect();
  client_.Send("partial");
  pair_->Truncate(Side::kA, 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "partial");
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(SessionFaultOf(server_.stream_->error()), SessionFault::kTruncated);
}

TEST_F(TlsStreamTest, PassesAResetOnAfterTheBytesBeforeIt) {
  Connect();
  client_.Send("last words");
  client_.stream_->Reset();
  EXPECT_EQ(client_.stream_->Write(Bytes("x")).status, IoStatus::kError);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "last words");
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(SessionFaultOf(server_.stream_->error()), SessionFault::kNone) << "a reset may happen";
  EXPECT_TRUE(client_.stream_->Flushed());
}

TEST_F(TlsStreamTest, TellsThePeerWhyItIsResetAfterTheBytesBeforeIt) {
  Connect();
  client_.Send("last words");
  client_.stream_->ResetWith(kEndPolicyChanged);
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "last words");
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("access_denied")));
  EXPECT_EQ(EndCodeOfAlert(server_.stream_->error()), kEndPolicyChanged);
  EXPECT_TRUE(client_.stream_->Flushed());
}

TEST_F(TlsStreamTest, HasNothingToSayOfMostReasons) {
  Connect();
  client_.stream_->ResetWith(kEndDrained);
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, TellsAVerifiedPeerThatAccessIsDenied) {
  Connect();
  // What is on its way by then does not matter any more.
  client_.Send("already sent");
  server_.stream_->DenyAccess();
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.last_read_, IoStatus::kError);
  EXPECT_THAT(client_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("access_denied")));
  EXPECT_EQ(server_.last_read_, IoStatus::kError);
  EXPECT_THAT(server_.stream_->error(), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(server_.received_, "");
  EXPECT_TRUE(server_.stream_->Flushed());
  server_.stream_->DenyAccess();  // Nothing more to say.
}

TEST_F(TlsStreamTest, AWriterInMidStreamHearsOfADenialAndNotOfTheBrokenConnectionAlone) {
  Connect();
  client_.OnReadable();  // Finds nothing, and waits to be told.
  server_.Send("said before");
  server_.stream_->DenyAccess();
  pair_->Fail(absl::UnavailableError("broken pipe"));
  // Nobody has told the client of either when it writes on.
  EXPECT_EQ(client_.stream_->Write(Bytes("more")).status, IoStatus::kError);
  loop_.RunUntilIdle();
  EXPECT_EQ(client_.received_, "said before");
  EXPECT_EQ(client_.last_read_, IoStatus::kError);
  EXPECT_THAT(client_.stream_->error(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("access_denied")));
}

TEST_F(TlsStreamTest, OldConnectionsKeepTheirContextAfterARotation) {
  Connect();
  const TlsContext* old_context = &server_.stream_->context();
  TlsEndpoint new_client, new_server;
  MemoryStreamPair second(&loop_);
  const TestIdentity rotated = ca_.IssueSvid("/server");
  new_client.Start(&loop_, second.TakeA(), GoodContext(TlsRole::kClient), {});
  new_server.Start(&loop_, second.TakeB(), Context(TlsRole::kServer, rotated, ca_.Bundles()), {});
  loop_.RunUntilIdle();
  ASSERT_THAT(new_server.handshake(), IsOk());
  EXPECT_EQ(&server_.stream_->context(), old_context);
  client_.Send("old still works");
  new_client.Send("new works");
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_, "old still works");
  EXPECT_EQ(new_server.received_, "new works");
}

class TlsStreamBudgetTest : public TlsPairTest {
 protected:
  // Before the budget that they count in.
  ~TlsStreamBudgetTest() override {
    client_.stream_ = nullptr;
    server_.stream_ = nullptr;
  }
  void ConnectWithin(size_t share) {
    budget_.share = share;
    TlsStream::Options options;
    options.budget = &budget_;
    StartClient(GoodContext(TlsRole::kClient), options);
    StartServer(GoodContext(TlsRole::kServer), options);
    loop_.RunUntilIdle();
    ASSERT_THAT(client_.handshake(), IsOk());
    ASSERT_THAT(server_.handshake(), IsOk());
  }

  FakeBufferBudget budget_;
};

TEST_F(TlsStreamBudgetTest, AShortBudgetKeepsTheWriterSmall) {
  ConnectWithin(0);
  server_.reading_ = false;
  client_.Send(std::string(1'000'000, 'x'));
  loop_.RunUntilIdle();
  EXPECT_LT(client_.sent_, 1'000'000u);
  EXPECT_LE(client_.stream_->buffered_bytes(), 16u * 1024);
  EXPECT_GE(budget_.held, static_cast<int64_t>(client_.stream_->buffered_bytes()));
}

TEST_F(TlsStreamBudgetTest, AShortBudgetKeepsTheReaderSmall) {
  ConnectWithin(0);
  client_.Send(std::string(1'000'000, 'x'));
  uint8_t little[100];
  server_.reading_ = false;
  for (int i = 0; i < 50; ++i, loop_.RunUntilIdle()) {
    server_.stream_->Read(absl::MakeSpan(little));
    EXPECT_LE(server_.stream_->buffered_bytes(), 8u * 1024) << i;
  }
}

TEST_F(TlsStreamBudgetTest, CountsARecordThatIsReadInPart) {
  ConnectWithin(1 << 20);
  server_.reading_ = false;
  client_.Send(std::string(16'000, 'x'));
  loop_.RunUntilIdle();
  uint8_t little[100];
  ASSERT_EQ(server_.stream_->Read(absl::MakeSpan(little)).bytes, sizeof(little));
  EXPECT_GE(budget_.held, 16'000);
}

TEST_F(TlsStreamBudgetTest, AShortBudgetChangesNoByte) {
  ConnectWithin(0);
  std::string data(500'000, '\0');
  uint32_t x = 1;
  for (char& c : data) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  client_.Send(data, true);
  server_.Send(data, true);
  loop_.RunUntilIdle();
  EXPECT_TRUE(server_.received_ == data);
  EXPECT_TRUE(client_.received_ == data);
}

TEST_F(TlsStreamBudgetTest, EverythingIsGivenBack) {
  ConnectWithin(1 << 20);
  server_.reading_ = false;
  client_.Send(std::string(1'000'000, 'x'));
  loop_.RunUntilIdle();
  server_.reading_ = true;
  server_.OnReadable();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_.size(), 1'000'000u);
  EXPECT_EQ(budget_.held, 0);
  EXPECT_EQ(budget_.more, 0);
  client_.stream_ = nullptr;
  server_.stream_ = nullptr;
  EXPECT_EQ(budget_.least, 0);
}

// How often the transport is asked, which is what bulk costs most.
class TlsStreamCallsTest : public TlsPairTest {
 protected:
  // Before what they count in and borrow from.
  ~TlsStreamCallsTest() override {
    client_.stream_ = nullptr;
    server_.stream_ = nullptr;
  }
  void ConnectWith(ScratchPool* scratch, size_t in_flight) {
    MemoryStreamPair::Quota quota;
    quota.capacity = in_flight;
    Pair(quota, quota);
    TlsStream::Options options;
    options.scratch = scratch;
    client_.Start(&loop_, std::make_unique<CountedStream>(pair_->TakeA(), &client_calls_),
                  GoodContext(TlsRole::kClient), options);
    server_.Start(&loop_, std::make_unique<CountedStream>(pair_->TakeB(), &server_calls_),
                  GoodContext(TlsRole::kServer), options);
    loop_.RunUntilIdle();
    ASSERT_THAT(client_.handshake(), IsOk());
    ASSERT_THAT(server_.handshake(), IsOk());
    server_.reading_ = false;
    client_calls_ = server_calls_ = StreamCalls();
  }

  ScratchPool scratch_;
  StreamCalls client_calls_;
  StreamCalls server_calls_;
};

TEST_F(TlsStreamCallsTest, FourRecordsLeaveInOneWrite) {
  ConnectWith(nullptr, 1 << 20);
  const std::string data(64 * 1024, 'x');
  EXPECT_EQ(client_.stream_->Write(Bytes(data)).bytes, data.size());
  EXPECT_THAT(client_calls_.writes, ElementsAre(4 * (16 * 1024 + 22)));
}

TEST_F(TlsStreamCallsTest, WithScratchMemorySixteenRecordsTakeOneCallOfEachTransport) {
  ConnectWith(&scratch_, 1 << 20);
  const std::string data(256 * 1024, 'x');
  EXPECT_EQ(client_.stream_->Write(Bytes(data)).bytes, data.size());
  EXPECT_THAT(client_calls_.writes, ElementsAre(16 * (16 * 1024 + 22)));
  loop_.RunUntilIdle();
  std::vector<uint8_t> buffer(ScratchPool::kBlockSize);
  EXPECT_EQ(server_.stream_->Read(absl::MakeSpan(buffer)).bytes, data.size());
  EXPECT_EQ(server_calls_.reads, 1);
  EXPECT_EQ(server_.stream_->Read(absl::MakeSpan(buffer)).status, IoStatus::kWouldBlock);
  EXPECT_EQ(scratch_.lent(), 0u);
  EXPECT_EQ(server_.stream_->buffered_bytes(), 0u);
}

TEST_F(TlsStreamCallsTest, WhatTheTransportDoesNotTakeIsKeptInMemoryOfItsOwn) {
  ConnectWith(&scratch_, 100 * 1024);
  client_.Send(std::string(1'000'000, 'x'));
  loop_.RunUntilIdle();
  EXPECT_LT(client_.sent_, 1'000'000u);
  EXPECT_EQ(scratch_.lent(), 0u);
  EXPECT_GT(client_.stream_->buffered_bytes(), 0u);
  EXPECT_LE(client_.stream_->buffered_bytes(), 256u * 1024);
  server_.reading_ = true;
  server_.OnReadable();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_.received_.size(), 1'000'000u);
  EXPECT_EQ(scratch_.lent(), 0u);
  EXPECT_EQ(client_.stream_->buffered_bytes(), 0u);
}

TEST_F(TlsStreamCallsTest, AReaderWithLittleRoomLeavesTheRestToTheTransport) {
  ConnectWith(&scratch_, 1 << 20);
  client_.Send(std::string(256 * 1024, 'x'));
  loop_.RunUntilIdle();
  uint8_t little[1000];
  EXPECT_EQ(server_.stream_->Read(absl::MakeSpan(little)).bytes, sizeof(little));
  EXPECT_LE(server_.stream_->buffered_bytes(), 16u * 1024);
  EXPECT_EQ(scratch_.lent(), 0u);
}

}  // namespace
}  // namespace byrnie
