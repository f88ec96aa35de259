// FrameStream: however the bytes between agent and proxy are cut, the frames and the end are those
// that a reader of the whole would find, and a length announced costs no memory before the bytes
// are there. What is sent meanwhile arrives as it is, as far as the transport takes it.

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/link/frame_stream.h"
#include "common/net/byte_stream.h"
#include "test/fuzz/fuzz_target.h"

namespace {

// Bytes on the heap, of this thread alone: a fuzzer has others.
thread_local int64_t held = 0;
thread_local int64_t most_held = 0;

}  // namespace

// Not inlined: the compiler would see free() given what it takes to be of new.
__attribute__((noinline)) void* operator new(size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  held += static_cast<int64_t>(malloc_usable_size(memory));
  most_held = std::max(most_held, held);
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
__attribute__((noinline)) void operator delete(void* memory) noexcept {
  if (memory != nullptr) held -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace byrnie {
namespace {

constexpr size_t kHeader = 4;
// Of one payload byte an honest peer makes as many: frames that are larger than what is read at
// once and than what a buffer keeps.
constexpr size_t kMultiple = 300;
// Besides the bytes of the peer: what is read at once, and what the stream and the loop are made
// of.
constexpr size_t kOverhead = 256 * 1024;

void Expect(bool condition) {
  if (!condition) std::abort();
}

// The first byte of an input.
enum Flag : uint8_t {
  kHonest = 1,    // What follows is payloads, each after a byte that says its size; else it is raw.
  kBroken = 2,    // The transport breaks at the end.
  kCloses = 4,    // The reader closes after two frames.
  kWaits = 8,     // Some reads bring less than there is, and wait.
  kEnlarge = 16,  // Honest payloads are multiplied.
  kAnswers = 32,  // The reader sends each frame back.
  kStuck = 64,    // The transport takes nothing: the peer does not read.
  kDeaf = 128     // The first that is written breaks the transport; what came before can be read.
};

std::string Header(absl::string_view payload) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(payload.size() >> shift & 0xff));
  }
  return bytes;
}

std::string Frame(const std::string& payload) { return Header(payload) + payload; }

std::string HonestFrames(absl::string_view input, size_t multiple) {
  std::string bytes;
  // More than a buffer keeps, and still quick.
  while (!input.empty() && bytes.size() < 80 * 1024) {
    const size_t size = std::min<size_t>(static_cast<uint8_t>(input[0]), input.size() - 1);
    std::string payload;
    for (char c : input.substr(1, size)) payload.append(multiple, c);
    Expect(FrameStream::Encode(payload) == Frame(payload));
    bytes += Frame(payload);
    input.remove_prefix(1 + size);
  }
  return bytes;
}

// What a reader of all the bytes finds.
struct Expected {
  std::vector<absl::string_view> frames;
  absl::StatusCode end = absl::StatusCode::kOk;
};

Expected Read(absl::string_view bytes, uint8_t flags) {
  Expected expected;
  while (bytes.size() >= kHeader) {
    size_t size = 0;
    for (size_t i = 0; i < kHeader; ++i) size = size << 8 | static_cast<uint8_t>(bytes[i]);
    if (size > FrameStream::kMaxFrame) {
      expected.end = absl::StatusCode::kInvalidArgument;
      return expected;
    }
    if (bytes.size() - kHeader < size) break;
    expected.frames.push_back(bytes.substr(kHeader, size));
    bytes.remove_prefix(kHeader + size);
    if ((flags & kCloses) != 0 && expected.frames.size() == 2) {
      expected.end = absl::StatusCode::kCancelled;
      return expected;
    }
  }
  const bool broken_by_answer = (flags & kAnswers) != 0 && (flags & kDeaf) != 0;
  if ((flags & kBroken) != 0 || (broken_by_answer && !expected.frames.empty())) {
    expected.end = absl::StatusCode::kUnavailable;
  } else if (!bytes.empty()) {
    expected.end = absl::StatusCode::kDataLoss;
  }
  return expected;
}

// Gives the bytes in pieces of sizes that the seed decides, then the end. Of what is written it
// takes as much at a time, and expects the frames again.
class Transport final : public ByteStream {
 public:
  Transport(absl::string_view bytes, const Expected* expected, uint8_t flags, uint32_t seed)
      : bytes_(bytes), expected_(expected), flags_(flags), random_(seed) {}

  void SetObserver(Observer* observer) override { observer_ = observer; }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    const bool broken = broken_ || (flags_ & kBroken) != 0;
    if (bytes_.empty()) return {0, broken ? IoStatus::kError : IoStatus::kEof};
    const size_t size = std::min({NextPiece(), buffer.size(), bytes_.size()});
    std::memcpy(buffer.data(), bytes_.data(), size);
    bytes_.remove_prefix(size);
    waits_ = Waits();
    return {size, waits_ ? IoStatus::kWouldBlock : IoStatus::kOk};
  }
  IoResult Write(absl::Span<const uint8_t> data) override {
    Expect(!data.empty() && !shut_ && !reset_);
    if ((flags_ & kDeaf) != 0) {
      broken_ = true;
      return {0, IoStatus::kError};
    }
    if ((flags_ & kStuck) != 0) return {0, IoStatus::kWouldBlock};
    const size_t size = std::min(NextPiece(), data.size());
    ExpectWritten({reinterpret_cast<const char*>(data.data()), size});
    write_waits_ = Waits();
    return {size, write_waits_ ? IoStatus::kWouldBlock : IoStatus::kOk};
  }
  // A frame that was cut is no clean end.
  void ShutdownWrite() override {
    Expect(written_in_frame_ == 0);
    shut_ = true;
  }
  void Reset() override { reset_ = true; }
  bool Flushed() const override { return true; }
  absl::Status error() const override { return absl::UnavailableError("cable cut"); }

  // An edge, where one is due; false when the reader has gone.
  bool Continue() {
    if (observer_ != nullptr && std::exchange(waits_, false)) observer_->OnReadable();
    if (observer_ != nullptr && std::exchange(write_waits_, false)) observer_->OnWritable();
    return observer_ != nullptr;
  }
  bool ended() const { return shut_ != reset_; }

 private:
  // 0 gives all there is; else pieces of a few bytes, now and then of many.
  size_t NextPiece() {
    if (random_ == 0) return std::numeric_limits<size_t>::max();
    random_ = random_ * 1664525 + 1013904223;
    if (random_ == 0) random_ = 1;
    const uint32_t draw = random_ >> 16;
    return 1 + (draw % 8 == 0 ? draw : draw % 8);
  }
  bool Waits() const { return (flags_ & kWaits) != 0 && random_ % 3 == 0; }

  void ExpectWritten(absl::string_view data) {
    while (!data.empty()) {
      Expect(written_ < expected_->frames.size());
      const absl::string_view frame = expected_->frames[written_];
      const size_t at = written_in_frame_;
      const bool in_header = at < kHeader;
      const std::string header = in_header ? Header(frame) : "";
      const absl::string_view rest =
          in_header ? absl::string_view(header).substr(at) : frame.substr(at - kHeader);
      const size_t size = std::min(rest.size(), data.size());
      Expect(data.substr(0, size) == rest.substr(0, size));
      data.remove_prefix(size);
      written_in_frame_ += size;
      if (written_in_frame_ < kHeader + frame.size()) continue;
      written_in_frame_ = 0;
      ++written_;
    }
  }

  absl::string_view bytes_;
  const Expected* const expected_;  // Not owned.
  const uint8_t flags_;
  uint32_t random_;
  bool waits_ = true;  // The first edge.
  bool write_waits_ = false;
  bool broken_ = false;
  bool shut_ = false;
  bool reset_ = false;
  size_t written_ = 0;           // Whole frames.
  size_t written_in_frame_ = 0;  // Bytes of the next.
  Observer* observer_ = nullptr;
};

class Reader final : public FrameStream::Delegate {
 public:
  Reader(const Expected* expected, uint8_t flags) : expected_(expected), flags_(flags) {}
  void OnFrame(absl::string_view payload) override {
    Expect(!closed && seen < expected_->frames.size() && payload == expected_->frames[seen]);
    if ((flags_ & kAnswers) != 0) Expect(stream->Send(payload).ok());
    if (++seen != 2 || (flags_ & kCloses) == 0) return;
    stream->Close(absl::CancelledError("enough"));
    Expect(stream->Send(payload).code() == absl::StatusCode::kFailedPrecondition);
  }
  void OnClosed(const absl::Status& status) override {
    Expect(!closed && status.code() == expected_->end);
    closed = true;
  }

  std::unique_ptr<FrameStream> stream;
  size_t seen = 0;
  bool closed = false;

 private:
  const Expected* const expected_;  // Not owned.
  const uint8_t flags_;
};

void Check(absl::string_view bytes, uint8_t flags, uint32_t seed) {
  const Expected expected = Read(bytes, flags);
  ManualEventLoop loop;
  Reader reader(&expected, flags);
  const int64_t before = held;
  most_held = held;
  auto owned = std::make_unique<Transport>(bytes, &expected, flags, seed);
  Transport* const transport = owned.get();
  reader.stream = std::make_unique<FrameStream>(&loop, std::move(owned), &reader);
  Expect(&reader.stream->transport() == transport);
  // Each turn of the first loop takes at least a byte, and so it ends.
  while (transport->Continue()) loop.RunOnce();
  loop.RunUntilIdle();
  Expect(reader.closed && reader.seen == expected.frames.size() && transport->ended());
  // A string that grows holds its old bytes and up to twice as much room as the new; there is one
  // for what comes and one for what goes.
  const size_t strings = (flags & kAnswers) != 0 ? 2 : 1;
  Expect(most_held - before <= static_cast<int64_t>(strings * 4 * bytes.size() + kOverhead));
  reader.stream->Close(absl::CancelledError("again"));
  loop.RunUntilIdle();
  static const auto* const too_large = new std::string(FrameStream::kMaxFrame + 1, 'x');
  Expect(reader.stream->Send(*too_large).code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const auto raw = [](uint8_t flags, char seed, const std::string& bytes) {
    return std::string({static_cast<char>(flags), seed}) + bytes;
  };
  const std::string three = Frame("one") + Frame("") + Frame(std::string(300, 'x'));
  const std::string payloads = "\3one\5three\xff" + std::string(255, 'x');
  return {raw(0, 0, three),
          raw(kWaits, 5, three),
          raw(kCloses, 7, three),
          raw(kBroken | kWaits, 1, three),
          raw(0, 3, three + std::string("\0\0\0\5abc", 7)),
          raw(0, 0, std::string("\0\x40\0\0few", 7)),
          raw(kWaits, 2, std::string("\0\x40\0\1", 4)),
          raw(0, 0, Frame("one") + "\xff\xff\xff\xff and more"),
          raw(kHonest | kWaits, 9, payloads),
          raw(kHonest | kEnlarge, 0, payloads),
          raw(kHonest | kEnlarge | kWaits, 4, payloads),
          raw(kHonest | kEnlarge | kCloses, 4, payloads),
          raw(kAnswers, 0, three),
          raw(kAnswers | kWaits, 5, three),
          raw(kAnswers | kStuck | kCloses, 7, three),
          raw(kAnswers | kDeaf, 3, three),
          raw(kHonest | kEnlarge | kAnswers, 0, payloads),
          raw(kHonest | kEnlarge | kAnswers | kWaits, 4, payloads),
          raw(kHonest | kEnlarge | kAnswers | kCloses | kWaits, 4, payloads)};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t flags = data[0];
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  if ((flags & byrnie::kHonest) == 0) {
    byrnie::Check(rest, flags, data[1]);
    return 0;
  }
  const size_t multiple = (flags & byrnie::kEnlarge) != 0 ? byrnie::kMultiple : 1;
  byrnie::Check(byrnie::HonestFrames(rest, multiple), flags, data[1]);
  return 0;
}
