#ifndef BYRNIE_COMMON_NET_TESTING_BYTE_STREAM_CONFORMANCE_H_
#define BYRNIE_COMMON_NET_TESTING_BYTE_STREAM_CONFORMANCE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/byte_stream.h"
#include "gtest/gtest.h"

namespace byrnie {

// What every ByteStream promises, as tests for any kind of it. A test of a kind instantiates the
// suite:
//
//   INSTANTIATE_TEST_SUITE_P(Streams, ByteStreamConformanceTest,
//                            ::testing::Values(ByteStreamKind{"Tcp", MakeTcp}),
//                            ByteStreamKindName());
struct ByteStreamPair {
  std::unique_ptr<ByteStream> a;
  std::unique_ptr<ByteStream> b;
  // What the streams need to live; destroyed after them.
  std::shared_ptr<void> environment = nullptr;
};

struct ByteStreamKind {
  std::string name;
  // Makes two open streams that are each other's peer.
  std::function<ByteStreamPair(ManualEventLoop*)> make;

  // Where a kind differs from TCP, and may.

  // Moves a byte at each step: what would take long is tried with little.
  bool byte_at_a_time = false;
  // More than fits between two ends; less where it moves in small pieces, for there is a real
  // deadline behind every wait.
  size_t much = 20 * 1024 * 1024;
};

inline std::ostream& operator<<(std::ostream& out, const ByteStreamKind& kind) {
  return out << kind.name;
}
struct ByteStreamKindName {
  std::string operator()(const ::testing::TestParamInfo<ByteStreamKind>& info) const {
    return info.param.name;
  }
};

// Counts upcalls; reads and writes as much as it can in each when told to.
class ConformanceEndpoint : public ByteStream::Observer {
 public:
  explicit ConformanceEndpoint(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {}

  void OnReadable() override {
    EXPECT_FALSE(in_call_) << "an upcall inside a call";
    ++readable;
    if (pumping_) Read();
  }
  void OnWritable() override {
    EXPECT_FALSE(in_call_) << "an upcall inside a call";
    ++writable;
    if (pumping_) Write();
  }

  // Sends `data`, then ends the direction when `shut` says so, reading all the time.
  void Pump(std::string data, bool shut) {
    unsent_ = std::move(data);
    shut_ = shut;
    pumping_ = true;
    stream_->SetObserver(this);
    Write();
    Read();
  }
  void Read() {
    uint8_t buffer[4096];
    while (true) {
      IoResult result = Call([&] { return stream_->Read(absl::MakeSpan(buffer, read_size)); });
      received.append(reinterpret_cast<char*>(buffer), result.bytes);
      last_read = result.status;
      if (result.status != IoStatus::kOk) return;
    }
  }
  void Write() {
    while (!unsent_.empty()) {
      IoResult result = Call([&] {
        return stream_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(unsent_.data()),
                                                  std::min(unsent_.size(), write_size)));
      });
      unsent_.erase(0, result.bytes);
      last_write = result.status;
      if (result.status != IoStatus::kOk) return;
    }
    if (shut_) stream_->ShutdownWrite();
  }
  // One call; nothing may be called back meanwhile.
  IoResult Call(const std::function<IoResult()>& call) {
    in_call_ = true;
    IoResult result = call();
    in_call_ = false;
    return result;
  }
  IoResult WriteOnce(absl::string_view text) {
    return Call([&] {
      return stream_->Write(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
    });
  }

  ByteStream* operator->() { return stream_.get(); }
  void Destroy() { stream_.reset(); }
  bool sent() const { return unsent_.empty(); }

  int readable = 0;
  int writable = 0;
  std::string received;
  IoStatus last_read = IoStatus::kOk;
  IoStatus last_write = IoStatus::kOk;
  size_t read_size = 4096;
  size_t write_size = static_cast<size_t>(-1);

 private:
  std::unique_ptr<ByteStream> stream_;
  std::string unsent_;
  bool shut_ = false;
  bool pumping_ = false;
  bool in_call_ = false;
};

class ByteStreamConformanceTest : public ::testing::TestWithParam<ByteStreamKind> {
 protected:
  ByteStreamConformanceTest()
      : pair_(GetParam().make(&loop_)), a_(std::move(pair_.a)), b_(std::move(pair_.b)) {}

  bool RunUntil(absl::FunctionRef<bool()> condition) { return loop_.RunUntil(condition); }
  // As RunUntil, for what waits for timers too.
  bool RunUntilWithTime(absl::FunctionRef<bool()> condition);

  ManualEventLoop loop_;
  ByteStreamPair pair_;  // Its environment; the streams are with the ends.
  ConformanceEndpoint a_;
  ConformanceEndpoint b_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TESTING_BYTE_STREAM_CONFORMANCE_H_
