#ifndef BYRNIE_COMMON_NET_TESTING_VALVE_H_
#define BYRNIE_COMMON_NET_TESTING_VALVE_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// A transport that can be frozen: as if the network had gone, no byte moves and no edge comes.
class Valve final : public ByteStream, private ByteStream::Observer {
 public:
  Valve(std::unique_ptr<ByteStream> inner, const bool* frozen)
      : inner_(std::move(inner)), frozen_(frozen) {
    inner_->SetObserver(this);
  }
  void SetObserver(ByteStream::Observer* observer) override {
    observer_ = observer;
    inner_->SetObserver(this);
  }
  IoResult Read(absl::Span<uint8_t> buffer) override {
    return *frozen_ ? IoResult{0, IoStatus::kWouldBlock} : inner_->Read(buffer);
  }
  IoResult Write(absl::Span<const uint8_t> data) override {
    return *frozen_ ? IoResult{0, IoStatus::kWouldBlock} : inner_->Write(data);
  }
  size_t Room() const override { return *frozen_ ? 0 : inner_->Room(); }
  void ShutdownWrite() override { inner_->ShutdownWrite(); }
  void Reset() override { inner_->Reset(); }
  bool Flushed() const override { return inner_->Flushed(); }
  absl::Status error() const override { return inner_->error(); }
  // The edges of a network that moves again.
  void Thaw() {
    OnReadable();
    OnWritable();
  }

 private:
  void OnReadable() override {
    if (observer_ != nullptr && !*frozen_) observer_->OnReadable();
  }
  void OnWritable() override {
    if (observer_ != nullptr && !*frozen_) observer_->OnWritable();
  }

  std::unique_ptr<ByteStream> inner_;
  const bool* const frozen_;
  ByteStream::Observer* observer_ = nullptr;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_TESTING_VALVE_H_
