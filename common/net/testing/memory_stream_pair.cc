#include "common/net/testing/memory_stream_pair.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/types/optional.h"
#include "common/base/check.h"

namespace byrnie {

struct MemoryStreamPair::State {
  // The direction that starts at an end.
  struct Pipe {
    std::string in_flight;
    bool fin = false;
    absl::optional<size_t> remaining;  // Until it is cut.
    uint64_t accepted = 0;
  };
  Pipe pipes[2];
  Quota quotas[2];
  End* ends[2] = {nullptr, nullptr};  // Null once destroyed.
  // Why an end is broken, once it has read what is in flight towards it.
  absl::Status broken[2];
  absl::Duration round_trip = absl::ZeroDuration();
};

class MemoryStreamPair::End final : public ByteStream {
 public:
  End(EventLoop* loop, std::shared_ptr<State> state, Side side)
      : state_(std::move(state)),
        self_(static_cast<int>(side)),
        peer_(1 - self_),
        notify_(loop->NewDeferred([this] { Notify(); })) {
    state_->ends[self_] = this;
  }
  ~End() override {
    state_->ends[self_] = nullptr;
    if (destroyed_ != nullptr) *destroyed_ = true;
    if (!Flushed()) out().in_flight.clear();
    if (reset_ || !write_shut_) BreakPeer();
    // What is in flight towards a dead end is dropped; the writer learns it when it writes on.
    in().in_flight.clear();
    WakePeer();
  }

  void SetObserver(Observer* observer) override {
    observer_ = observer;
    if (observer == nullptr) return;
    read_waiting_ = true;
    Wake();
  }

  absl::Duration ShortestRoundTrip() const override { return state_->round_trip; }

  IoResult Read(absl::Span<uint8_t> buffer) override {
    if (reset_) return {0, IoStatus::kError};
    if (buffer.empty()) return {0, IoStatus::kOk};
    std::string& data = in().in_flight;
    if (data.empty()) {
      if (!broken().ok()) return {0, IoStatus::kError};
      if (in().fin) return {0, IoStatus::kEof};
    }
    if (data.empty() || (block_read_ && quota().block_between)) {
      block_read_ = false;
      read_waiting_ = true;
      Wake();
      return {0, IoStatus::kWouldBlock};
    }
    const size_t n = std::min({buffer.size(), quota().read, data.size()});
    std::memcpy(buffer.data(), data.data(), n);
    data.erase(0, n);
    block_read_ = true;
    WakePeer();
    return {n, IoStatus::kOk};
  }

  IoResult Write(absl::Span<const uint8_t> data) override {
    if (reset_ || write_shut_) return {0, IoStatus::kError};
    if (state_->ends[peer_] == nullptr && broken().ok()) {
      // It ended cleanly and is gone: TCP answers further data with a reset.
      state_->broken[self_] = absl::UnavailableError("connection lost: the peer has closed");
    }
    if (!broken().ok()) {
      Wake();
      return {0, IoStatus::kError};
    }
    if (data.empty()) return {0, IoStatus::kOk};
    const size_t room = quota().capacity - std::min(quota().capacity, out().in_flight.size());
    if (room == 0 || (block_write_ && quota().block_between)) {
      block_write_ = false;
      write_waiting_ = true;
      Wake();
      return {0, IoStatus::kWouldBlock};
    }
    const size_t n = std::min({data.size(), quota().write, room});
    Send(data.first(n));
    block_write_ = true;
    return {n, IoStatus::kOk};
  }

  size_t Room() const override {
    const size_t in_flight = state_->pipes[self_].in_flight.size();
    return quota().capacity - std::min(quota().capacity, in_flight);
  }

  void ShutdownWrite() override {
    if (reset_ || write_shut_) return;
    write_shut_ = true;
    out().fin = true;
    WakePeer();
  }

  void Reset() override {
    if (reset_) return;
    reset_ = true;
    reset_waiting_ = !Flushed();
    BreakPeer();
    WakePeer();
  }

  bool Flushed() const override {
    return !reset_ || !broken().ok() || state_->ends[peer_] == nullptr ||
           state_->pipes[self_].in_flight.empty();
  }

  bool Lost() const override { return !broken().ok(); }
  void HearOfLoss(bool hears) override { hears_of_loss_ = hears; }

  absl::Status error() const override {
    if (!broken().ok()) return broken();
    if (reset_) return absl::CancelledError("connection was reset by this side");
    return absl::OkStatus();
  }

  // Tells the observer at the end of the turn of what has become possible.
  void Wake() { notify_->Schedule(); }

 private:
  State::Pipe& out() { return state_->pipes[self_]; }
  State::Pipe& in() { return state_->pipes[peer_]; }
  const Quota& quota() const { return state_->quotas[self_]; }
  const absl::Status& broken() const { return state_->broken[self_]; }

  void Send(absl::Span<const uint8_t> data) {
    State::Pipe& pipe = out();
    pipe.accepted += data.size();
    size_t delivered = data.size();
    if (pipe.remaining) {
      delivered = std::min(delivered, *pipe.remaining);
      *pipe.remaining -= delivered;
      if (*pipe.remaining == 0) pipe.fin = true;
    }
    pipe.in_flight.append(reinterpret_cast<const char*>(data.data()), delivered);
    WakePeer();
  }
  void BreakPeer() {
    if (state_->broken[peer_].ok()) {
      state_->broken[peer_] = absl::UnavailableError("connection lost: reset by the peer");
    }
  }
  void WakePeer() {
    if (state_->ends[peer_] != nullptr) state_->ends[peer_]->Wake();
  }
  bool WorthReading() { return !in().in_flight.empty() || in().fin || !broken().ok(); }
  bool WorthWriting() {
    return !broken().ok() || state_->ends[peer_] == nullptr ||
           out().in_flight.size() < quota().capacity;
  }

  void Notify() {
    bool destroyed = false;
    destroyed_ = &destroyed;
    // A reader at the end is not waiting, but has to learn that the connection broke afterwards.
    if (!broken().ok() && !told_broken_ && in().in_flight.empty()) {
      told_broken_ = true;
      read_waiting_ = true;
    }
    if (!broken().ok() && hears_of_loss_ && !told_loss_) {
      told_loss_ = true;
      read_waiting_ = true;
    }
    if (observer_ != nullptr && !reset_ && read_waiting_ && WorthReading()) {
      read_waiting_ = false;
      observer_->OnReadable();
      if (destroyed) return;
    }
    const bool flushed = reset_waiting_ && Flushed();
    if (observer_ != nullptr && (flushed || (!reset_ && write_waiting_ && WorthWriting()))) {
      write_waiting_ = false;
      reset_waiting_ = reset_waiting_ && !flushed;
      observer_->OnWritable();
      if (destroyed) return;
    }
    destroyed_ = nullptr;
  }

  const std::shared_ptr<State> state_;
  const int self_;
  const int peer_;
  Observer* observer_ = nullptr;  // Not owned.
  bool read_waiting_ = true;
  bool write_waiting_ = false;
  bool block_read_ = false;
  bool block_write_ = false;
  bool write_shut_ = false;
  bool reset_ = false;
  bool reset_waiting_ = false;  // Flushed() has still to be told.
  bool told_broken_ = false;
  bool hears_of_loss_ = false;
  bool told_loss_ = false;
  bool* destroyed_ = nullptr;  // Set while upcalls run.
  const std::unique_ptr<EventLoop::Deferred> notify_;
};

MemoryStreamPair::MemoryStreamPair(EventLoop* loop, const Quota& a, const Quota& b)
    : state_(std::make_shared<State>()) {
  state_->quotas[0] = a;
  state_->quotas[1] = b;
  ends_[0] = std::make_unique<End>(loop, state_, Side::kA);
  ends_[1] = std::make_unique<End>(loop, state_, Side::kB);
}

MemoryStreamPair::~MemoryStreamPair() = default;

std::unique_ptr<ByteStream> MemoryStreamPair::TakeA() { return Take(Side::kA); }
std::unique_ptr<ByteStream> MemoryStreamPair::TakeB() { return Take(Side::kB); }

std::unique_ptr<ByteStream> MemoryStreamPair::Take(Side side) {
  std::unique_ptr<ByteStream> end = std::move(ends_[static_cast<int>(side)]);
  CHECK(end != nullptr);
  return end;
}

void MemoryStreamPair::Truncate(Side from, size_t keep) {
  State::Pipe& pipe = state_->pipes[static_cast<int>(from)];
  pipe.remaining = keep;
  if (keep == 0) pipe.fin = true;
  End* reader = state_->ends[1 - static_cast<int>(from)];
  if (reader != nullptr) reader->Wake();
}

void MemoryStreamPair::Fail(const absl::Status& why) {
  CHECK(!why.ok());
  for (int side : {0, 1}) {
    if (state_->broken[side].ok()) state_->broken[side] = why;
    if (state_->ends[side] != nullptr) state_->ends[side]->Wake();
  }
}

void MemoryStreamPair::SetRoundTrip(absl::Duration round_trip) { state_->round_trip = round_trip; }

uint64_t MemoryStreamPair::bytes_sent(Side from) const {
  return state_->pipes[static_cast<int>(from)].accepted;
}

}  // namespace byrnie
