#ifndef BYRNIE_PROXY_TESTING_TUNNEL_POOL_FIXTURE_H_
#define BYRNIE_PROXY_TESTING_TUNNEL_POOL_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/net/testing/valve.h"
#include "gtest/gtest.h"
#include "proxy/connect_refusal.h"
#include "proxy/shared_count.h"
#include "proxy/tunnel_dialer.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

inline SpiffeId Id(const std::string& account) {
  return *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/" + account);
}

// The far end of one tunnel: accepts every CONNECT unless told otherwise.
class FakePeer final : public ConnectSession::Delegate {
 public:
  FakePeer(EventLoop* loop, std::unique_ptr<ByteStream> transport,
           const ConnectSession::Options& options)
      : session(ConnectSession::CreateServer(loop, std::move(transport), options, this)) {}

  std::vector<std::unique_ptr<ConnectStream>> streams;
  int reject_with = 0;
  bool answer = true;
  std::unique_ptr<ConnectSession> session;

 private:
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    if (reject_with != 0) {
      stream->Reject(reject_with, {{kDenyReasonHeader, "policy-deny"}});
    } else if (answer) {
      stream->Accept();
    }
    streams.push_back(std::move(stream));
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override {}
};

class FakeDialer final : public TunnelDialer {
 public:
  explicit FakeDialer(ManualEventLoop* loop) : loop_(loop) {}

  std::unique_ptr<Attempt> Dial(const TunnelTarget& to, std::shared_ptr<const TlsContext>,
                                Callback done) override {
    ++dials;
    target = to;
    auto attempt = std::make_unique<FakeAttempt>();
    // Runs in a later turn and not at all after the attempt's end, as the real
    // one.
    attempt->deferred =
        loop_->NewDeferred([this, done = std::move(done)]() mutable { Complete(std::move(done)); });
    attempt->deferred->Schedule();
    return attempt;
  }

  int dials = 0;
  // The last one's.
  TunnelTarget target;
  bool past_limit = false;
  absl::Status failure;
  // So many attempts fail before others succeed.
  int failures_left = 0;
  bool answer = true;
  int reject_with = 0;
  uint32_t peer_limit = 200;
  absl::Time peer_not_after = absl::InfiniteFuture();
  // The far ends are the test's own, without HTTP/2, and are kept here.
  bool raw = false;
  std::vector<std::unique_ptr<ByteStream>> raw_peers;
  // Tunnels made while `freezable` say and hear nothing while `frozen`.
  bool freezable = false;
  bool frozen = false;
  std::vector<Valve*> valves;  // Owned by the tunnels.
  std::vector<std::unique_ptr<FakePeer>> peers;

 private:
  struct FakeAttempt : Attempt {
    std::unique_ptr<EventLoop::Deferred> deferred;
  };
  void Complete(Callback done) {
    if (!failure.ok()) {
      done(failure);
      return;
    }
    if (failures_left > 0) {
      --failures_left;
      done(absl::UnavailableError("the agent refused to sign"));
      return;
    }
    MemoryStreamPair pair(loop_);
    ConnectSession::Options options;
    options.max_concurrent_streams = peer_limit;
    if (raw) {
      raw_peers.push_back(pair.TakeB());
    } else {
      peers.push_back(std::make_unique<FakePeer>(loop_, pair.TakeB(), options));
      peers.back()->answer = answer;
      peers.back()->reject_with = reject_with;
    }
    std::unique_ptr<ByteStream> stream = pair.TakeA();
    if (freezable) {
      auto valve = std::make_unique<Valve>(std::move(stream), &frozen);
      valves.push_back(valve.get());
      stream = std::move(valve);
    }
    done(Transport{std::move(stream),
                   VerifiedSvid{Id("server"), peer_not_after},
                   {},
                   {},
                   absl::ZeroDuration(),
                   past_limit});
  }

  ManualEventLoop* const loop_;
};

// A pool whose dialer and peers are the test's, on a loop that the test turns.
class TunnelPoolTest : public ::testing::Test {
 protected:
  struct Result {
    std::unique_ptr<TunnelPool::Request> request;
    std::unique_ptr<ByteStream> stream;
    absl::Status status = absl::UnknownError("no answer yet");
  };

  TunnelPoolTest() : dialer_(&loop_) { Make(IdentityExpiry::kDrain); }
  ~TunnelPoolTest() override {
    results_.clear();
    pool_.reset();
  }

  void Make(IdentityExpiry expiry) {
    TunnelPool::Options options;
    options.expiry = expiry;
    Make(options);
  }
  void Make(TunnelPool::Options options) {
    options.max_streams_per_tunnel = 3;
    pool_ = std::make_unique<TunnelPool>(
        &loop_, &dialer_, options, TunnelPool::Metrics(),
        [this](const SocketAddress& address, const PeerInfo& peer, const absl::Status& status) {
          EXPECT_EQ(address.port(), 15008);
          EXPECT_EQ(peer.peer.id, Id("server"));
          ends_.push_back(status);
        });
    SetIdentity(1);
  }
  void SetIdentity(uint64_t generation, absl::Time not_after = absl::InfiniteFuture()) {
    TunnelPool::Identity identity;
    identity.generation = generation;
    identity.not_after = not_after;
    identity.id = Id("client");
    pool_->SetIdentity(std::move(identity));
  }
  Result* Start(const std::string& account = "server", const char* address = "10.0.0.2:15008") {
    results_.push_back(std::make_unique<Result>());
    Result* result = results_.back().get();
    result->request = pool_->Open(TunnelTarget{*SocketAddress::Parse(address), {Id(account)}},
                                  ConnectRequest{"10.0.0.2:8080", {}},
                                  [result](absl::StatusOr<TunnelPool::Opened> opened) {
                                    result->status = opened.status();
                                    if (opened.ok()) result->stream = std::move(opened->stream);
                                    result->request.reset();
                                  });
    return result;
  }
  Result* Open(const std::string& account = "server", const char* address = "10.0.0.2:15008") {
    Result* result = Start(account, address);
    loop_.RunUntilIdle();
    return result;
  }

  ManualEventLoop loop_;
  FakeDialer dialer_;
  std::vector<absl::Status> ends_;  // Of sessions.
  SharedCount shared_count_;
  std::unique_ptr<TunnelPool> pool_;
  std::vector<std::unique_ptr<Result>> results_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TESTING_TUNNEL_POOL_FIXTURE_H_
