// Feeds bytes of an attacker to both ends of ConnectSession. The first byte chooses the end and how
// the bytes come: all at once, in pieces, or as a script says, between whose steps those who hold
// the session do what they may. Whatever follows, the session must neither crash nor spin nor keep
// more than its windows allow, and tells its end once.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/net/byte_stream.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// The first byte of an input.
enum Flag : uint8_t {
  kServer = 1,
  kPreface = 2,       // A preface and SETTINGS come before the bytes.
  kByteByByte = 4,    // Not of a script.
  kScript = 8,        // What follows are steps.
  kSessionFirst = 16  // The session goes before its streams, at its end or at that of a script.
};

// What a step does, with its argument: the byte after it. All but kFeed run the loop until idle.
enum Step : uint8_t {
  kFeed,         // The next `argument` bytes come from the peer.
  kRun,          // Nothing more.
  kAgain,        // The peer sends once more what it fed last, as often as the argument says.
  kWait,         // A tenth of a second, as often as the argument says.
  kOpen,         // A client opens a stream.
  kAnswer,       // A server answers the next request: Conduct, below.
  kWrite,        // To the stream of that number: 1 KiB.
  kWriteMuch,    // The same, as long as it takes any, up to 256 KiB.
  kEnd,          // Ends its direction of that stream.
  kReset,        // Resets that stream.
  kDrop,         // Destroys that stream.
  kRead,         // Takes what that stream has.
  kDrain,        // The session.
  kClose,        // Likewise.
  kRoom,         // The transport takes 256 bytes as often as the argument says, then no more.
  kEof,          // The transport ends.
  kBreak,        // The transport breaks.
  kAnswerPings,  // The peer answers what PINGs it has got.
  kSteps
};

enum Conduct : uint8_t { kAccept, kReject, kDropUnanswered, kConducts };

constexpr char kClientPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kPrefaceSize = sizeof(kClientPreface) - 1;
constexpr size_t kFrameHeader = 9;
constexpr size_t kNoLimit = static_cast<size_t>(-1);

void Expect(bool condition) {
  if (!condition) std::abort();
}

std::string Frame(uint8_t type, uint8_t flags, uint8_t stream, absl::string_view payload) {
  std::string bytes = {static_cast<char>(payload.size() >> 16),
                       static_cast<char>(payload.size() >> 8),
                       static_cast<char>(payload.size()),
                       static_cast<char>(type),
                       static_cast<char>(flags),
                       '\0',
                       '\0',
                       '\0',
                       static_cast<char>(stream)};
  return bytes.append(payload.data(), payload.size());
}

// The peer's end of the transport. What the session writes is forgotten, but for PINGs.
class Transport final : public ByteStream {
 public:
  // `piece` is what one Read gives at most.
  explicit Transport(size_t piece) : piece_(piece) {}

  void Feed(absl::string_view bytes) {
    last_fed_ = std::string(bytes);
    FeedAgain(1);
  }
  void FeedAgain(int times) {
    for (int i = 0; i < times; ++i) input_ += last_fed_;
    if (observer_ != nullptr) observer_->OnReadable();
  }
  void End(IoStatus how) {
    end_ = how;
    if (observer_ != nullptr) observer_->OnReadable();
  }
  void SetRoom(size_t room) {
    room_ = room;
    if (room > 0 && observer_ != nullptr) observer_->OnWritable();
  }
  // `skip`: the preface of a client is no frame.
  std::string AnswersToPings(size_t skip) {
    std::string answers;
    absl::string_view rest = output_;
    rest.remove_prefix(std::min(skip, rest.size()));
    while (rest.size() >= kFrameHeader) {
      const auto at = [rest](size_t i) { return static_cast<uint8_t>(rest[i]); };
      const size_t size = static_cast<size_t>(at(0)) << 16 | at(1) << 8 | at(2);
      const absl::string_view payload = rest.substr(kFrameHeader, size);
      constexpr uint8_t kPing = 6, kAck = 1;
      if (at(3) == kPing && at(4) == 0) answers += Frame(kPing, kAck, 0, payload);
      rest.remove_prefix(kFrameHeader + payload.size());
    }
    return answers;
  }

  void SetObserver(Observer* observer) override { observer_ = observer; }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    if (input_.empty()) return {0, end_};
    const size_t n = std::min({buffer.size(), piece_, input_.size()});
    std::memcpy(buffer.data(), input_.data(), n);
    input_.erase(0, n);
    return {n, IoStatus::kOk};
  }
  IoResult Write(absl::Span<const uint8_t> data) override {
    if (end_ == IoStatus::kError || reset_) return {0, IoStatus::kError};
    const size_t n = std::min(room_, data.size());
    if (room_ != kNoLimit) room_ -= n;
    // PINGs come early, and a script has little to write.
    constexpr size_t kMostKept = 4096;
    if (output_.size() < kMostKept) {
      output_.append(reinterpret_cast<const char*>(data.data()), n);
    }
    return {n, n < data.size() ? IoStatus::kWouldBlock : IoStatus::kOk};
  }
  void ShutdownWrite() override {}
  void Reset() override { reset_ = true; }
  bool Flushed() const override { return room_ > 0; }
  absl::Status error() const override { return absl::UnavailableError("cable cut"); }

 private:
  const size_t piece_;
  std::string last_fed_, input_, output_;
  IoStatus end_ = IoStatus::kWouldBlock;
  size_t room_ = kNoLimit;
  bool reset_ = false;
  Observer* observer_ = nullptr;
};

// Who holds the session and its streams.
class Holder final : public ConnectSession::Delegate, private ByteStream::Observer {
 public:
  // `echoes`: accepts every other tunnel, echoes on it, and rejects the rest. Else requests wait.
  explicit Holder(bool echoes) : echoes_(echoes) {}

  void OnConnect(std::unique_ptr<ConnectStream> stream, ConnectRequest request) override {
    Expect(!closed_ && !request.authority.empty());
    waiting_.push_back(std::move(stream));
    if (echoes_) Answer(++requests_ % 2 == 0 ? kReject : kAccept);
  }
  void OnGoaway() override { Expect(!closed_); }
  void OnStreamsChanged() override { Expect(!closed_); }
  void OnSessionClosed(const absl::Status&) override {
    Expect(!closed_);
    closed_ = true;
    if (to_be_destroyed_ != nullptr) to_be_destroyed_->reset();
  }
  // Destroys it when it is closed.
  void DestroyWhenClosed(std::unique_ptr<ConnectSession>* session) { to_be_destroyed_ = session; }

  void Answer(int conduct) {
    if (waiting_.empty()) return;
    std::unique_ptr<ConnectStream> stream = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    if (conduct == kReject) stream->Reject(503, {{"reason", "full"}});
    if (conduct != kAccept) return;
    stream->Accept();
    Add(std::move(stream));
  }
  void Open(ConnectSession* session) {
    const bool could = session->CanOpenStream();
    auto answered = std::make_shared<bool>(false);
    auto stream = session->OpenStream({"10.0.0.1:80", {{"name", "value"}}},
                                      [answered](absl::Status, int, const HeaderList&) {
                                        Expect(!std::exchange(*answered, true));
                                      });
    Expect(stream.ok() == could);
    if (could) Add(*std::move(stream));
  }
  void Drop(size_t number) {
    if (number < streams_.size()) streams_[number] = nullptr;
  }
  ConnectStream* Find(size_t number) {
    return number < streams_.size() ? streams_[number].get() : nullptr;
  }
  void DropAll() {
    waiting_.clear();
    streams_.clear();
  }

 private:
  void Add(std::unique_ptr<ConnectStream> stream) {
    stream->SetObserver(this);
    streams_.push_back(std::move(stream));
  }
  void OnReadable() override {
    for (const auto& stream : streams_) {
      if (stream == nullptr) continue;
      if (!stream->Peek().empty()) stream->Skip(stream->WritePieces(stream->Peek()).bytes);
      if (!echoes_) continue;
      uint8_t buffer[512];
      const IoResult read = stream->Read(absl::MakeSpan(buffer));
      if (read.status == IoStatus::kEof) stream->ShutdownWrite();
      if (read.status == IoStatus::kOk) stream->Write(absl::MakeConstSpan(buffer, read.bytes));
    }
  }
  void OnWritable() override {}

  const bool echoes_;
  bool closed_ = false;
  std::unique_ptr<ConnectSession>* to_be_destroyed_ = nullptr;  // Not owned.
  size_t requests_ = 0;
  std::vector<std::unique_ptr<ConnectStream>> waiting_, streams_;
};

// A session with its surroundings.
struct World {
  World(uint8_t flags, size_t piece, bool echoes) : holder(echoes) {
    server = (flags & kServer) != 0;
    ConnectSession::Options options;
    if ((flags & kScript) != 0) {
      // Limits that a script gets to.
      options.max_concurrent_streams = 4;
      options.max_header_list_size = 512;
    }
    auto owned = std::make_unique<Transport>(piece);
    transport = owned.get();
    session = server ? ConnectSession::CreateServer(&loop, std::move(owned), options, &holder)
                     : ConnectSession::CreateClient(&loop, std::move(owned), options, &holder);
    // Most inputs should get past the preface and the first SETTINGS.
    if ((flags & kPreface) == 0) return;
    if (server) transport->Feed({kClientPreface, kPrefaceSize});
    transport->Feed(Frame(4, 0, 0, ""));
  }

  void Take(Step step, uint8_t argument) {
    ConnectStream* const stream = holder.Find(argument);
    static const uint8_t kKilobyte[1024] = {};
    uint8_t buffer[4096];
    switch (step) {
      case kAgain:
        transport->FeedAgain(argument);
        break;
      case kWait:
        loop.AdvanceTime(argument * absl::Milliseconds(100));
        break;
      case kOpen:
        if (!server) holder.Open(session.get());
        break;
      case kAnswer:
        holder.Answer(argument % kConducts);
        break;
      case kWrite:
        if (stream != nullptr) stream->Write(absl::MakeConstSpan(kKilobyte));
        break;
      case kWriteMuch:
        for (int i = 0; stream != nullptr && i < 256; ++i) {
          if (stream->Write(absl::MakeConstSpan(kKilobyte)).status != IoStatus::kOk) break;
        }
        break;
      case kEnd:
        if (stream != nullptr) stream->ShutdownWrite();
        break;
      case kReset:
        if (stream != nullptr) stream->Reset();
        break;
      case kDrop:
        holder.Drop(argument);
        break;
      case kRead:
        if (stream != nullptr) stream->Read(absl::MakeSpan(buffer));
        break;
      case kDrain:
        session->Drain();
        break;
      case kClose:
        session->Close();
        break;
      case kRoom:
        transport->SetRoom(argument == 255 ? kNoLimit : argument * size_t{256});
        break;
      case kEof:
        transport->End(IoStatus::kEof);
        break;
      case kBreak:
        transport->End(IoStatus::kError);
        break;
      case kAnswerPings:
        transport->Feed(transport->AnswersToPings(server ? 0 : kPrefaceSize));
        break;
      case kFeed:
      case kRun:
      case kSteps:
        break;
    }
    loop.RunUntilIdle();
    if (session == nullptr) return;
    Expect(session->open_streams() <= 4 || !server);
    Expect(!session->CanOpenStream() || session->open_streams() < session->stream_limit());
  }

  ManualEventLoop loop;
  Holder holder;
  bool server;
  std::unique_ptr<ConnectSession> session;
  Transport* transport;  // Of the session.
};

void RunScript(uint8_t flags, absl::string_view script) {
  World world(flags, kNoLimit, /*echoes=*/false);
  if ((flags & kSessionFirst) != 0) world.holder.DestroyWhenClosed(&world.session);
  // Longer ones say nothing new and take their time.
  for (int steps = 0; world.session != nullptr && script.size() >= 2 && steps < 256; ++steps) {
    const auto step = static_cast<Step>(static_cast<uint8_t>(script[0]) % kSteps);
    const auto argument = static_cast<uint8_t>(script[1]);
    script.remove_prefix(2);
    if (step == kFeed) {
      world.transport->Feed(script.substr(0, argument));
      script.remove_prefix(std::min<size_t>(argument, script.size()));
    } else {
      world.Take(step, argument);
    }
  }
  world.loop.RunUntilIdle();
  if ((flags & kSessionFirst) != 0) {
    world.session.reset();
    world.loop.RunUntilIdle();
  }
  world.holder.DropAll();
  world.loop.RunUntilIdle();
}

void RunBytes(uint8_t flags, absl::string_view bytes) {
  const size_t piece = (flags & kByteByByte) != 0 ? 1 : kNoLimit;
  World world(flags, piece, /*echoes=*/true);
  for (int i = 0; !world.server && i < 3; ++i) world.holder.Open(world.session.get());
  world.transport->Feed(bytes);
  world.transport->End(IoStatus::kEof);
  world.loop.RunUntilIdle();
  world.loop.AdvanceTime(absl::Seconds(5));
  world.holder.DropAll();
}

// Makes a script.
class Script {
 public:
  explicit Script(int flags) : bytes_(1, static_cast<char>(flags | kScript | kPreface)) {}

  Script& Do(Step step, int argument = 0) {
    bytes_ += {static_cast<char>(step), static_cast<char>(argument)};
    return *this;
  }
  // Frames that come in one turn.
  Script& Feed(absl::string_view frames) {
    while (!frames.empty()) {
      const absl::string_view part = frames.substr(0, 255);
      Do(kFeed, static_cast<int>(part.size()));
      absl::StrAppend(&bytes_, part);
      frames.remove_prefix(part.size());
    }
    return Do(kRun);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string Repeat(const std::string& part, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += part;
  return all;
}

// Header blocks (RFC 7541): :method CONNECT, :authority a:1; :status 200; :method GET, :scheme
// https, :path /.
constexpr char kConnect[] =
    "\x42\x07"
    "CONNECT"
    "\x41\x03"
    "a:1";
constexpr char kOk[] = "\x88";
constexpr char kGet[] = "\x82\x87\x84";

std::string Code(uint8_t code) { return std::string(3, '\0') + static_cast<char>(code); }
std::string Headers(uint8_t stream, absl::string_view block, uint8_t flags = 4) {
  return Frame(1, flags, stream, block);
}
std::string Status(absl::string_view status) { return absl::StrCat("\x48\x03", status); }
std::string RstStream(uint8_t stream, uint8_t code) { return Frame(3, 0, stream, Code(code)); }
std::string Goaway(uint8_t last_stream, uint8_t code) {
  return Frame(7, 0, 0, Code(last_stream) + Code(code));
}
std::string WindowUpdate(uint8_t stream) { return Frame(8, 0, stream, Code(0xff)); }
// A field of 100 bytes that the decoder remembers, and it again some times.
std::string LargeHeaders(absl::string_view first, int times) {
  return absl::StrCat(first, "\x40\x01x\x64", std::string(100, 'x'), Repeat("\xbe", times));
}

void AddServerScripts(std::vector<std::string>* seeds) {
  const auto add = [seeds](const Script& script) { seeds->push_back(script.bytes()); };
  const std::string connect = Headers(1, kConnect);
  const auto open = [&connect] { return Script(kServer).Feed(connect).Do(kAnswer, kAccept); };
  // Both directions, with padding, windows, trailers; both ends.
  add(open()
          .Feed(Frame(0, 8, 1, std::string("\3hello\0\0\0", 9)) + Frame(4, 1, 0, ""))
          .Do(kRead)
          .Do(kWriteMuch)
          .Feed(WindowUpdate(1) + WindowUpdate(0))
          .Do(kEnd)
          .Feed(Headers(1, "\x40\x01y\x01z", 5))
          .Do(kRead));
  add(open().Do(kWrite).Do(kReset).Feed(WindowUpdate(1)));
  add(open().Do(kRoom, 0).Do(kWriteMuch).Do(kReset).Do(kRoom, 255).Do(kDrop));
  add(open().Do(kRoom, 1).Do(kWriteMuch).Do(kEnd).Do(kRoom, 255).Feed(WindowUpdate(1)));
  add(open().Do(kEnd).Feed(Frame(0, 1, 1, "bye") + RstStream(1, 0)).Do(kRead));
  add(open().Feed(Frame(0, 1, 1, "bye") + RstStream(1, 0)).Do(kRead).Do(kWrite));
  add(open().Feed(RstStream(1, 0x99)).Do(kWrite));
  add(open().Feed(Frame(0, 0, 1, std::string(5000, 'x'))).Do(kRead));
  // Requests that are none, too many, or given up.
  add(Script(kServer).Feed(Headers(1, kGet, 5) + Headers(3, LargeHeaders(kConnect, 5))));
  add(Script(kServer).Feed(Headers(1, LargeHeaders(kConnect, 100))));
  add(Script(kServer).Feed(Headers(1, absl::StrCat(kGet, "\x41\x03", "a:1"))).Do(kEof));
  add(Script(kServer).Feed(Headers(1, "\x82")).Feed(Headers(3, kConnect)).Do(kAnswer, kReject));
  add(Script(kServer).Feed(connect + RstStream(1, 8)).Feed(Headers(3, kConnect)));
  add(Script(kServer).Feed(Headers(1, kConnect)).Do(kAnswer, kDropUnanswered));
  std::string many, resets;
  for (uint8_t id = 1; id < 16; id += 2) many += Headers(id, kConnect);
  for (int id = 1; id < 512; id += 2) {
    std::string both = Headers(0, kConnect) + RstStream(0, 8);
    for (const size_t frame : {size_t{0}, kFrameHeader + sizeof(kConnect) - 1}) {
      both[frame + 7] = static_cast<char>(id >> 8);
      both[frame + 8] = static_cast<char>(id);
    }
    resets += both;
  }
  add(Script(kServer).Feed(many).Do(kAnswer, kAccept).Do(kAnswer, kReject));
  add(Script(kServer).Feed(resets));
  // Frames that nobody needs.
  // Among the kept inputs are two floods, which would take long with mutations of theirs: of
  // answers to PINGs that nobody sent, and of WINDOW_UPDATEs.
  const std::string ping = Frame(6, 0, 0, "12345678");
  add(open().Do(kRoom, 0).Feed(Repeat(ping, 15)).Do(kAgain, 20));
  // Ends.
  add(open()
          .Do(kDrain)
          .Feed(Headers(3, kConnect))
          .Do(kAnswerPings)
          .Do(kEnd)
          .Feed(Frame(0, 1, 1, "")));
  add(open().Do(kDrain).Do(kDrain).Do(kAnswerPings).Feed(RstStream(1, 8)).Do(kEof));
  add(open().Do(kClose).Do(kEof));
  add(open().Do(kRoom, 0).Do(kClose).Do(kWait, 255));
  add(open().Do(kEof));
  add(open().Do(kWrite).Do(kBreak).Do(kWrite));
  add(open().Do(kWait, 110).Do(kAnswerPings).Do(kWait, 255).Do(kWait, 100));
  add(open().Feed(Goaway(0, 2)).Do(kEof));
  add(open().Feed(Frame(0, 0, 3, "no such stream")));
  add(open().Feed(Frame(0x50, 0, 1, "unknown") + Frame(2, 0, 1, Code(0) + "w")));
  add(Script(kServer | kSessionFirst).Feed(many).Do(kAnswer, kAccept).Do(kWrite));
  add(Script(kServer | kSessionFirst).Feed(connect).Do(kAnswer, kAccept).Do(kBreak).Do(kRun));
}

void AddClientScripts(std::vector<std::string>* seeds) {
  const auto add = [seeds](const Script& script) { seeds->push_back(script.bytes()); };
  const auto open = [] { return Script(0).Do(kOpen).Feed(Headers(1, kOk)); };
  add(open()
          .Do(kWriteMuch)
          .Feed(WindowUpdate(1) + WindowUpdate(0) + Frame(0, 0, 1, "hello"))
          .Do(kRead));
  add(open().Feed(Frame(0, 1, 1, "bye")).Do(kRead).Do(kRead).Do(kEnd));
  add(open().Do(kEnd).Feed(Headers(1, "\x40\x01y\x01z", 5)).Do(kRead));
  add(open().Do(kWrite).Do(kDrop));
  add(open().Do(kRoom, 0).Do(kWriteMuch).Do(kDrop).Do(kRoom, 255));
  // Answers that are none, say no, or come in parts.
  for (const absl::string_view status : {"103", "204", "400", "401", "503", "999", "abc"}) {
    add(Script(0).Do(kOpen).Feed(Headers(1, Status(status))).Feed(Headers(1, kOk, 5)));
  }
  add(Script(0).Do(kOpen).Feed(Headers(1, LargeHeaders(kOk, 5))));
  add(Script(0).Do(kOpen).Feed(Headers(1, Status("503"), 5)).Do(kRead));
  add(Script(0).Do(kOpen).Feed(Frame(0, 1, 1, "early")));
  for (const uint8_t code : {0, 7, 8, 0x99}) {
    add(Script(0).Do(kOpen).Do(kOpen).Feed(RstStream(1, code)).Do(kWrite));
    add(open().Feed(RstStream(1, code)).Do(kWrite));
  }
  // Limits of the peer, before and after requests.
  const std::string one_stream = Frame(4, 0, 0, std::string("\0\3\0\0\0\1", 6));
  add(Script(0).Feed(one_stream).Do(kOpen).Do(kOpen).Feed(Headers(1, kOk, 5)).Do(kEnd).Do(kOpen));
  add(Script(0).Do(kRoom, 0).Do(kOpen).Do(kOpen).Do(kOpen).Feed(one_stream).Do(kRoom, 255));
  add(Script(0).Do(kOpen).Do(kOpen).Do(kOpen).Do(kOpen).Do(kOpen));
  // Silence, with a request that waits and with none.
  add(Script(0).Do(kOpen).Do(kWait, 20).Do(kWait, 30).Do(kOpen).Do(kAnswerPings).Do(kOpen));
  add(open().Do(kWait, 110).Do(kAnswerPings).Do(kWait, 250).Do(kWait, 100).Do(kOpen));
  // Ends.
  add(open().Do(kDrain).Do(kOpen).Feed(Frame(0, 1, 1, "")).Do(kEnd).Do(kEof));
  add(Script(0).Do(kOpen).Do(kOpen).Feed(Goaway(1, 0)).Do(kOpen).Feed(Headers(1, kOk, 5)).Do(kEnd));
  add(open().Feed(Goaway(1, 11)).Do(kEof));
  add(Script(0).Do(kDrain).Do(kEof).Do(kDrain).Do(kOpen));
  add(open().Do(kClose).Do(kClose).Do(kEof).Do(kOpen));
  add(open().Do(kRoom, 0).Do(kClose).Do(kWait, 255));
  add(open().Do(kBreak).Do(kOpen).Do(kWrite));
  add(open().Do(kWrite).Feed("no frame at all"));
  add(Script(kSessionFirst).Do(kOpen).Do(kOpen).Feed(Headers(1, kOk)));
}

void AddBytes(std::vector<std::string>* seeds) {
  const std::string data = Frame(0, 0, 1, "hello");
  const auto connect = [](uint8_t stream) { return Headers(stream, kConnect); };
  const auto add = [seeds](int flags, const std::string& bytes) {
    seeds->push_back(std::string(1, static_cast<char>(flags | kPreface)) + bytes);
  };
  const std::string full_window = Frame(8, 0, 1, std::string("\x7f\xff\xff\xff", 4));
  add(kServer, connect(1) + data + Frame(0, 1, 1, ""));
  add(kServer | kByteByByte, connect(1) + data + RstStream(1, 8));
  add(kServer, Headers(1, kGet, 5) + connect(3) + connect(5) + RstStream(3, 8));
  add(kServer, Headers(1, absl::string_view(kConnect, 5), 0) + Frame(9, 4, 1, kConnect + 5));
  add(kServer, connect(1) + full_window + full_window);
  add(kServer, Frame(6, 0, 0, "12345678") + Goaway(0, 8) +
                   Frame(4, 0, 0, std::string("\0\x04\0\0\0\x01", 6)));
  add(0, Headers(1, kOk) + data + Frame(0, 1, 1, "bye"));
  add(0, Headers(1, kOk, 5) + RstStream(3, 8) + Headers(5, "\x8d"));
  add(0, Goaway(1, 8) + Headers(1, kOk) + data);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  AddBytes(&seeds);
  AddServerScripts(&seeds);
  AddClientScripts(&seeds);
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & byrnie::kScript) != 0) {
    byrnie::RunScript(data[0], rest);
  } else {
    byrnie::RunBytes(data[0], rest);
  }
  return 0;
}
