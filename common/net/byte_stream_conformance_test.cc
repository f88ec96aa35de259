// TCP over loopback and the pair in memory are what every ByteStream is.
#include "common/net/testing/byte_stream_conformance.h"

#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_matchers.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"
#include "common/net/testing/memory_stream_pair.h"

namespace byrnie {
namespace {

ByteStreamPair MakeTcp(ManualEventLoop* loop) {
  std::unique_ptr<TcpStream> accepted, connected;
  auto listener =
      TcpListener::Create(loop, *SocketAddress::Parse("127.0.0.1:0"), TcpListener::Options(),
                          [&](std::unique_ptr<TcpStream> stream) { accepted = std::move(stream); });
  CHECK_OK(listener);
  auto attempt = TcpStream::Connect(loop, (*listener)->address(), TcpStream::ConnectOptions(),
                                    [&](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                      CHECK_OK(stream);
                                      connected = *std::move(stream);
                                    });
  CHECK(loop->RunUntil([&] { return accepted != nullptr && connected != nullptr; }));
  return {std::move(connected), std::move(accepted)};
}

ByteStreamPair MakeMemory(ManualEventLoop* loop) {
  MemoryStreamPair pair(loop);
  return {pair.TakeA(), pair.TakeB()};
}

ByteStreamPair MakeMemoryOneByte(ManualEventLoop* loop) {
  MemoryStreamPair pair(loop, MemoryStreamPair::Quota::OneByte(),
                        MemoryStreamPair::Quota::OneByte());
  return {pair.TakeA(), pair.TakeB()};
}

ByteStreamKind OneByteKind() {
  ByteStreamKind kind{"MemoryOneByte", MakeMemoryOneByte};
  kind.byte_at_a_time = true;
  return kind;
}

INSTANTIATE_TEST_SUITE_P(Streams, ByteStreamConformanceTest,
                         ::testing::Values(ByteStreamKind{"Tcp", MakeTcp},
                                           ByteStreamKind{"Memory", MakeMemory}, OneByteKind()),
                         ByteStreamKindName());

}  // namespace
}  // namespace byrnie
