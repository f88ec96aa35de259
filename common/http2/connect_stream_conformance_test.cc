// A ConnectStream keeps the promises of every ByteStream.
#include <memory>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_matchers.h"
#include "common/http2/connect_session.h"
#include "common/net/testing/byte_stream_conformance.h"
#include "common/net/testing/memory_stream_pair.h"

namespace byrnie {
namespace {

// Both sessions, which live as long as the streams.
class Sessions final : public ConnectSession::Delegate {
 public:
  Sessions(ManualEventLoop* loop, const MemoryStreamPair::Quota& quota)
      : transport_(loop, quota, quota) {
    client_ = ConnectSession::CreateClient(loop, transport_.TakeA(), {}, this);
    server_ = ConnectSession::CreateServer(loop, transport_.TakeB(), {}, this);
  }

  ByteStreamPair Open(ManualEventLoop* loop) {
    bool open = false;
    auto stream = client_->OpenStream({"10.0.0.1:80", {}},
                                      [&open](absl::Status status, int, const HeaderList&) {
                                        CHECK_OK(status);
                                        open = true;
                                      });
    CHECK_OK(stream);
    CHECK(loop->RunUntil([&] { return open && accepted_ != nullptr; }));
    loop->RunUntilIdle();
    return {*std::move(stream), std::move(accepted_)};
  }

  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    stream->Accept();
    accepted_ = std::move(stream);
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override {}

 private:
  MemoryStreamPair transport_;
  std::unique_ptr<ConnectStream> accepted_;
  std::unique_ptr<ConnectSession> client_;
  std::unique_ptr<ConnectSession> server_;
};

ByteStreamKind ConnectKind(std::string name, const MemoryStreamPair::Quota& quota,
                           bool server_first) {
  ByteStreamKind kind;
  kind.name = std::move(name);
  if (quota.block_between) kind.much = 1024 * 1024;
  kind.make = [quota, server_first](ManualEventLoop* loop) {
    auto sessions = std::make_shared<Sessions>(loop, quota);
    ByteStreamPair pair = sessions->Open(loop);
    if (server_first) std::swap(pair.a, pair.b);
    pair.environment = std::move(sessions);
    return pair;
  };
  return kind;
}

INSTANTIATE_TEST_SUITE_P(
    ConnectStreams, ByteStreamConformanceTest,
    ::testing::Values(ConnectKind("ConnectByClient", {}, /*server_first=*/false),
                      ConnectKind("ConnectByServer", {}, /*server_first=*/true),
                      ConnectKind("ConnectInPieces", {17, 17, 64 * 1024, true}, false)),
    ByteStreamKindName());

}  // namespace
}  // namespace byrnie
