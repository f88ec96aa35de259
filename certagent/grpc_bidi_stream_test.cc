// Calls over real gRPC inside the process, ended from either side at every point of their life.
// What goes wrong here is found by the sanitizers: run it with --config=asan and --config=tsan too.

#include "certagent/grpc_bidi_stream.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "envoy/service/discovery/v3/discovery.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::envoy::service::discovery::v3::AggregatedDiscoveryService;
using ::envoy::service::discovery::v3::DeltaDiscoveryRequest;
using ::envoy::service::discovery::v3::DeltaDiscoveryResponse;
using ::testing::ElementsAre;
using Stream = GrpcBidiStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

// Answers each message with its nonce; "end" ends the call with an error, "flood" is answered by
// many.
class EchoService final : public AggregatedDiscoveryService::CallbackService {
 public:
  int open() const { return open_.load(); }
  int begun() const { return begun_.load(); }
  int answered() const { return answered_.load(); }

 private:
  class Call final : public grpc::ServerBidiReactor<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
   public:
    explicit Call(EchoService* service) : service_(service) {
      ++service_->open_;
      ++service_->begun_;
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) {
        Finish(grpc::Status::OK);
      } else if (request_.response_nonce() == "end") {
        Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "told to end"));
      } else {
        left_ = request_.response_nonce() == "flood" ? 1000 : 1;
        Answer();
      }
    }
    void OnWriteDone(bool ok) override {
      if (!ok) {
        Finish(grpc::Status::OK);
      } else if (--left_ > 0) {
        Answer();
      } else {
        StartRead(&request_);
      }
    }
    void OnDone() override {
      --service_->open_;
      delete this;
    }

   private:
    void Answer() {
      ++service_->answered_;
      response_.set_nonce(request_.response_nonce());
      StartWrite(&response_);
    }
    EchoService* const service_;
    int left_ = 0;
    DeltaDiscoveryRequest request_;
    DeltaDiscoveryResponse response_;
  };

  grpc::ServerBidiReactor<DeltaDiscoveryRequest, DeltaDiscoveryResponse>* DeltaAggregatedResources(
      grpc::CallbackServerContext*) override {
    return new Call(this);
  }

  std::atomic<int> open_{0};
  std::atomic<int> begun_{0};
  std::atomic<int> answered_{0};
};

class GrpcBidiStreamTest : public ::testing::Test {
 protected:
  GrpcBidiStreamTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ =
        AggregatedDiscoveryService::NewStub(server_->InProcessChannel(grpc::ChannelArguments()));
  }
  ~GrpcBidiStreamTest() override {
    stream_.reset();
    ExpectNoCalls();
    server_->Shutdown();
  }

  void Open() {
    Stream::Callbacks callbacks;
    callbacks.on_message = [this](DeltaDiscoveryResponse response) {
      messages_.push_back(response.nonce());
    };
    callbacks.on_closed = [this](absl::Status why) {
      closed_.push_back(std::move(why));
      if (destroy_when_closed_) stream_.reset();
    };
    stream_ = std::make_unique<Stream>(
        &loop_,
        [stub = stub_](grpc::ClientContext* context, Stream::Reactor* reactor) {
          stub->async()->DeltaAggregatedResources(context, reactor);
        },
        std::move(callbacks));
  }
  void Send(const std::string& nonce) {
    DeltaDiscoveryRequest request;
    request.set_response_nonce(nonce);
    stream_->Send(std::move(request));
  }
  // For what gRPC's threads do meanwhile; the loop does not run.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Microseconds(200));
    }
    return true;
  }
  void ExpectNoCalls() {
    EXPECT_TRUE(Eventually([this] { return service_.open() == 0; }));
    loop_.RunUntilIdle();
  }

  ManualEventLoop loop_;
  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<AggregatedDiscoveryService::Stub> stub_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::string> messages_;
  std::vector<absl::Status> closed_;
  bool destroy_when_closed_ = false;
};

TEST_F(GrpcBidiStreamTest, CarriesMessagesBothWaysInOrder) {
  Open();
  for (const char* nonce : {"1", "2", "3"}) Send(nonce);
  ASSERT_TRUE(loop_.RunUntil([this] { return messages_.size() == 3; }));
  EXPECT_THAT(messages_, ElementsAre("1", "2", "3"));
  EXPECT_TRUE(closed_.empty());
}

TEST_F(GrpcBidiStreamTest, SaysOnceWhyThePeerEndedIt) {
  Open();
  Send("end");
  ASSERT_TRUE(loop_.RunUntil([this] { return !closed_.empty(); }));
  Send("lost");
  loop_.RunUntilIdle();
  EXPECT_THAT(closed_, ElementsAre(StatusIs(absl::StatusCode::kUnavailable)));
}

TEST_F(GrpcBidiStreamTest, MayBeDestroyedByItsOwnEnd) {
  destroy_when_closed_ = true;
  Open();
  Send("end");
  ASSERT_TRUE(loop_.RunUntil([this] { return !closed_.empty(); }));
  EXPECT_EQ(stream_, nullptr);
}

TEST_F(GrpcBidiStreamTest, DestroyedBeforeItBeganIsQuiet) {
  for (int i = 0; i < 200; ++i) {
    Open();
    if (i % 2 == 0) Send("unread");
    stream_.reset();
  }
  ExpectNoCalls();
  EXPECT_TRUE(closed_.empty());
}

TEST_F(GrpcBidiStreamTest, DestroyedWhileItWaitsForAMessageIsQuiet) {
  for (int i = 0; i < 50; ++i) {
    const int begun = service_.begun();
    Open();
    ASSERT_TRUE(Eventually([&] { return service_.begun() > begun; }));
    stream_.reset();
  }
  ExpectNoCalls();
  EXPECT_TRUE(closed_.empty());
}

TEST_F(GrpcBidiStreamTest, DestroyedWithAMessageOnItsWayToTheLoopIsQuiet) {
  for (int i = 0; i < 50; ++i) {
    const int answered = service_.answered();
    Open();
    Send("flood");
    ASSERT_TRUE(Eventually([&] { return service_.answered() > answered; }));
    stream_.reset();
    loop_.RunUntilIdle();
  }
  ExpectNoCalls();
  EXPECT_TRUE(messages_.empty());
  EXPECT_TRUE(closed_.empty());
}

TEST_F(GrpcBidiStreamTest, DestroyedInMidFloodIsQuiet) {
  for (int i = 0; i < 20; ++i) {
    messages_.clear();
    Open();
    Send("flood");
    ASSERT_TRUE(loop_.RunUntil([this] { return messages_.size() >= 3; }));
    stream_.reset();
  }
  ExpectNoCalls();
  EXPECT_TRUE(closed_.empty());
}

TEST_F(GrpcBidiStreamTest, DestroyedWhileThePeerEndsItIsQuiet) {
  // Who comes first is left to the machine.
  for (int i = 0; i < 200; ++i) {
    Open();
    Send("end");
    const absl::Time until = absl::Now() + absl::Microseconds(i * 5);
    while (absl::Now() < until) {
    }
    stream_.reset();
    loop_.RunUntilIdle();
  }
  ExpectNoCalls();
  EXPECT_TRUE(closed_.empty());
}

}  // namespace
}  // namespace byrnie
