// Carries bytes through the proxy's data path in memory, on one thread and one loop, as the same
// instructions every time: test/bench/instructions.py counts them.
//
//   data_path_bench relay|tunnel|requests|handshakes COUNT
//
// relay: COUNT times 64 KiB through a relay. tunnel: as many through a relay, an HBONE tunnel and
// the relay behind it. requests: COUNT times 1 KiB and an answer of as much, one after the other,
// over the tunnel. handshakes: COUNT mutual TLS handshakes, both ends.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/base/testing/fake_clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/identity/identity_snapshot.h"
#include "common/net/scratch_pool.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "proxy/relay.h"

namespace byrnie {
namespace {

constexpr size_t kBlock = 64 * 1024;
constexpr size_t kRequest = 1024;
// What a socket might hold.
constexpr size_t kInFlight = 512 * 1024;
// As the proxy's workers have it (proxy/worker.cc).
constexpr size_t kScratch = 16 * ConnectSession::kDataPerRecord;
// Far more than any of this takes, for each unit of work.
constexpr uint64_t kMostTurns = 1000;

// An application's end of a connection: sends what it is told to and counts what comes.
class Application final : public ByteStream::Observer {
 public:
  explicit Application(std::unique_ptr<ByteStream> stream)
      : stream_(std::move(stream)), block_(kBlock) {
    stream_->SetObserver(this);
  }
  void Send(uint64_t bytes) {
    unsent_ += bytes;
    OnWritable();
  }
  // Answers whatever comes with as many bytes.
  void Echo() { echo_ = true; }
  uint64_t received() const { return received_; }

  void OnReadable() override {
    while (true) {
      const IoResult result = stream_->Read(absl::MakeSpan(block_));
      CHECK(result.status == IoStatus::kOk || result.status == IoStatus::kWouldBlock);
      received_ += result.bytes;
      if (echo_ && result.bytes > 0) Send(result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnWritable() override {
    while (unsent_ > 0) {
      const IoResult result = stream_->Write(
          absl::MakeConstSpan(block_).first(std::min<uint64_t>(unsent_, block_.size())));
      CHECK(result.status == IoStatus::kOk || result.status == IoStatus::kWouldBlock);
      unsent_ -= result.bytes;
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }

 private:
  const std::unique_ptr<ByteStream> stream_;
  std::vector<uint8_t> block_;
  uint64_t unsent_ = 0;
  uint64_t received_ = 0;
  bool echo_ = false;
};

class Acceptor final : public ConnectSession::Delegate {
 public:
  void OnConnect(std::unique_ptr<ConnectStream> s, ConnectRequest) override {
    s->Accept();
    stream = std::move(s);
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override {}

  std::unique_ptr<ConnectStream> stream;
};

class DataPath {
 public:
  DataPath()
      : loop_(*EpollEventLoop::Create(&clock_)),
        ca_("bench", clock_.WallNow()),
        scratch_(kScratch),
        client_context_(Context(TlsRole::kClient)),
        server_context_(Context(TlsRole::kServer)) {}

  void Relay(uint64_t count) {
    Application source(Pair());
    std::unique_ptr<ByteStream> near = std::move(other_end_);
    std::unique_ptr<ByteStream> far = Pair();
    const auto relay = Between(std::move(near), std::move(far));
    Application sink(std::move(other_end_));
    source.Send(count * kBlock);
    RunUntil(count, [&] { return sink.received() == count * kBlock; });
  }

  void Tunnel(uint64_t count) {
    const Tunnelled path(this);
    path.client->Send(count * kBlock);
    RunUntil(count, [&] { return path.server->received() == count * kBlock; });
  }

  void Requests(uint64_t count) {
    const Tunnelled path(this);
    path.server->Echo();
    for (uint64_t i = 1; i <= count; ++i) {
      path.client->Send(kRequest);
      RunUntil(1, [&] { return path.client->received() == i * kRequest; });
    }
  }

  void Handshakes(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) Handshake();
  }

 private:
  using TlsEnds = std::pair<std::unique_ptr<TlsStream>, std::unique_ptr<TlsStream>>;

  // An application at each end of two relays with a tunnel between them.
  struct Tunnelled {
    explicit Tunnelled(DataPath* path) {
      TlsEnds ends = path->Handshake();
      ConnectSession::Options options;
      options.scratch = &path->scratch_pool_;
      client_session = ConnectSession::CreateClient(path->loop_.get(), std::move(ends.first),
                                                    options, &client_end);
      server_session = ConnectSession::CreateServer(path->loop_.get(), std::move(ends.second),
                                                    options, &server_end);
      bool open = false;
      absl::StatusOr<std::unique_ptr<ConnectStream>> stream = client_session->OpenStream(
          {"10.0.0.1:80", {}}, [&open](const absl::Status& status, int, const HeaderList&) {
            CHECK_OK(status);
            open = true;
          });
      CHECK_OK(stream);
      path->RunUntil(1, [&] { return open && server_end.stream != nullptr; });
      client = std::make_unique<Application>(path->Pair());
      outbound = path->Between(std::move(path->other_end_), *std::move(stream));
      std::unique_ptr<ByteStream> to_server = path->Pair();
      server = std::make_unique<Application>(std::move(path->other_end_));
      inbound = path->Between(std::move(server_end.stream), std::move(to_server));
    }

    Acceptor client_end;
    Acceptor server_end;
    std::unique_ptr<ConnectSession> client_session;
    std::unique_ptr<ConnectSession> server_session;
    std::unique_ptr<Application> client;
    std::unique_ptr<Application> server;
    std::unique_ptr<byrnie::Relay> outbound;
    std::unique_ptr<byrnie::Relay> inbound;
  };

  // One end of a connection; the other is other_end_.
  std::unique_ptr<ByteStream> Pair() {
    MemoryStreamPair::Quota quota;
    quota.capacity = kInFlight;
    MemoryStreamPair pair(loop_.get(), quota, quota);
    other_end_ = pair.TakeB();
    return pair.TakeA();
  }

  std::unique_ptr<byrnie::Relay> Between(std::unique_ptr<ByteStream> one,
                                         std::unique_ptr<ByteStream> other) {
    auto relay = std::make_unique<byrnie::Relay>(loop_.get(), absl::MakeSpan(scratch_),
                                                 std::move(one), std::move(other), &relay_options_,
                                                 [](const RelayResult&) { CHECK(false); });
    relay->Start();
    return relay;
  }

  std::shared_ptr<const TlsContext> Context(TlsRole role) {
    const TestIdentity identity = ca_.IssueSvid("/bench");
    signer_.AddKey(identity);
    return *TlsContext::Create(
        role, "h2", *IdentitySnapshot::Create(1, identity.chain, ca_.Bundles(), clock_.WallNow()),
        &signer_);
  }

  TlsEnds Handshake() {
    int done = 0;
    const auto on_handshake = [&done](const absl::Status& status) {
      CHECK_OK(status);
      ++done;
    };
    std::unique_ptr<ByteStream> transport = Pair();
    TlsEnds ends;
    TlsStream::Options options;
    options.scratch = &scratch_pool_;
    ends.first = TlsStream::Create(loop_.get(), std::move(transport), client_context_, options,
                                   on_handshake);
    ends.second = TlsStream::Create(loop_.get(), std::move(other_end_), server_context_, options,
                                    on_handshake);
    RunUntil(1, [&done] { return done == 2; });
    return ends;
  }

  template <typename Condition>
  void RunUntil(uint64_t units, Condition condition) {
    for (uint64_t turn = 0; !condition(); ++turn) {
      CHECK(turn < units * kMostTurns);
      loop_->RunOneTurn(absl::ZeroDuration());
    }
  }

  const FakeClock clock_;
  const std::unique_ptr<EpollEventLoop> loop_;
  LocalSigner signer_;
  const TestCa ca_;
  std::vector<uint8_t> scratch_;
  ScratchPool scratch_pool_;
  const byrnie::Relay::Options relay_options_;
  const std::shared_ptr<const TlsContext> client_context_;
  const std::shared_ptr<const TlsContext> server_context_;
  std::unique_ptr<ByteStream> other_end_;
};

int Run(int argc, char** argv) {
  constexpr std::pair<absl::string_view, void (DataPath::*)(uint64_t)> kWorkloads[] = {
      {"relay", &DataPath::Relay},
      {"tunnel", &DataPath::Tunnel},
      {"requests", &DataPath::Requests},
      {"handshakes", &DataPath::Handshakes}};
  uint64_t count = 0;
  if (argc == 3 && absl::SimpleAtoi(argv[2], &count)) {
    for (const auto& [name, workload] : kWorkloads) {
      if (name != argv[1]) continue;
      DataPath path;
      (path.*workload)(count);
      return 0;
    }
  }
  std::fprintf(stderr, "usage: %s relay|tunnel|requests|handshakes COUNT\n", argv[0]);
  return 2;
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Run(argc, argv); }
