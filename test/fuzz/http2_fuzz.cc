// Feeds bytes of an attacker to both ends of ConnectSession. The first byte chooses the end and how
// the bytes are cut; whatever follows, the session must neither crash nor spin nor keep more than
// its windows allow.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/net/byte_stream.h"
#include "test/fuzz/fuzz_target.h"
#include "test/fuzz/input_stream.h"

namespace byrnie {
namespace {

// Accepts every other tunnel, echoes on it, and rejects the rest.
class Peer final : public ConnectSession::Delegate, private ByteStream::Observer {
 public:
  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest) override {
    if (++requests_ % 2 == 0) {
      stream->Reject(503);
      return;
    }
    stream->Accept();
    stream->SetObserver(this);
    streams_.push_back(std::move(stream));
  }
  void OnGoaway() override {}
  void OnStreamsChanged() override {}
  void OnSessionClosed(const absl::Status&) override { streams_.clear(); }
  void Add(std::unique_ptr<ConnectStream> stream) {
    stream->SetObserver(this);
    streams_.push_back(std::move(stream));
  }

 private:
  void OnReadable() override {
    for (const auto& stream : streams_) {
      uint8_t buffer[512];
      const IoResult read = stream->Read(absl::MakeSpan(buffer));
      if (read.status == IoStatus::kEof) stream->ShutdownWrite();
      if (read.status == IoStatus::kOk) stream->Write(absl::MakeConstSpan(buffer, read.bytes));
    }
  }
  void OnWritable() override {}

  std::vector<std::unique_ptr<ConnectStream>> streams_;
  size_t requests_ = 0;
};

}  // namespace
}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using byrnie::ConnectSession;
  if (size == 0) return 0;
  const bool server = (data[0] & 1) != 0;
  const bool preface = (data[0] & 2) != 0;
  const size_t piece = (data[0] & 4) != 0 ? 1 : size;
  static constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  std::string input;
  // Most inputs should get past the preface and the first SETTINGS.
  if (server && preface) input.append(kPreface, sizeof(kPreface) - 1);
  if (preface) input.append("\0\0\0\4\0\0\0\0\0", 9);
  input.append(reinterpret_cast<const char*>(data) + 1, size - 1);

  byrnie::ManualEventLoop loop;
  byrnie::Peer peer;
  auto transport = std::make_unique<byrnie::InputStream>(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(input.data()), input.size()), piece);
  std::unique_ptr<ConnectSession> session;
  if (server) {
    session = ConnectSession::CreateServer(&loop, std::move(transport), {}, &peer);
  } else {
    session = ConnectSession::CreateClient(&loop, std::move(transport), {}, &peer);
    for (int i = 0; i < 3; ++i) {
      auto stream = session->OpenStream({"10.0.0.1:80", {}},
                                        [](absl::Status, int, const byrnie::HeaderList&) {});
      if (stream.ok()) peer.Add(std::move(*stream));
    }
  }
  loop.RunUntilIdle();
  loop.AdvanceTime(absl::Seconds(5));
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  const auto frame = [](uint8_t type, uint8_t flags, uint8_t stream, const std::string& payload) {
    std::string bytes = {'\0',
                         '\0',
                         static_cast<char>(payload.size()),
                         static_cast<char>(type),
                         static_cast<char>(flags),
                         '\0',
                         '\0',
                         '\0',
                         static_cast<char>(stream)};
    return bytes + payload;
  };
  // :method CONNECT, :authority a:1; :status 200; :method GET, :scheme https, :path /.
  const std::string connect = std::string(
      "\x42\x07"
      "CONNECT"
      "\x41\x03"
      "a:1");
  const std::string ok = "\x88";
  const std::string get = "\x82\x87\x84";
  const std::string data = frame(0, 0, 1, "hello");
  const std::string code("\0\0\0\x08", 4);
  const std::string to_server = "\x03";
  const std::string to_server_slowly = "\x07";
  const std::string to_client = "\x02";
  return {
      to_server + frame(1, 4, 1, connect) + data + frame(0, 1, 1, ""),
      to_server_slowly + frame(1, 4, 1, connect) + data + frame(3, 0, 1, code),
      to_server + frame(1, 5, 1, get) + frame(1, 4, 3, connect) + frame(1, 4, 5, connect) +
          frame(3, 0, 3, code),
      to_server + frame(1, 0, 1, connect.substr(0, 5)) + frame(9, 4, 1, connect.substr(5)),
      to_server + frame(1, 4, 1, connect) + frame(8, 0, 1, std::string("\x7f\xff\xff\xff", 4)) +
          frame(8, 0, 1, std::string("\x7f\xff\xff\xff", 4)),
      to_server + frame(6, 0, 0, "12345678") + frame(7, 0, 0, std::string("\0\0\0\0", 4) + code) +
          frame(4, 0, 0, std::string("\0\x04\0\0\0\x01", 6)),
      to_client + frame(1, 4, 1, ok) + data + frame(0, 1, 1, "bye"),
      to_client + frame(1, 5, 1, ok) + frame(3, 0, 3, code) + frame(1, 4, 5, "\x8d"),
      to_client + frame(7, 0, 0, std::string("\0\0\0\x01", 4) + code) + frame(1, 4, 1, ok) + data,
  };
}

}  // namespace byrnie
