#include "common/net/prefixed_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/release_memory.h"

namespace byrnie {

PrefixedStream::PrefixedStream(EventLoop* loop, std::string prefix,
                               std::unique_ptr<ByteStream> stream)
    : loop_(loop), stream_(std::move(stream)), prefix_(std::move(prefix)) {}

PrefixedStream::~PrefixedStream() = default;

void PrefixedStream::SetObserver(Observer* observer) {
  DCHECK(loop_->InLoopThread());
  stream_->SetObserver(observer);
  tell_.reset();
  if (observer == nullptr || prefix_.empty()) return;
  // The stream knows nothing of the prefix.
  tell_ = loop_->NewDeferred([this, observer] {
    Observer* const told = observer;
    tell_.reset();
    told->OnReadable();
  });
  tell_->Schedule();
}

IoResult PrefixedStream::Read(absl::Span<uint8_t> buffer) {
  if (prefix_.empty()) return stream_->Read(buffer);
  const size_t size = std::min(buffer.size(), prefix_.size() - begin_);
  memcpy(buffer.data(), prefix_.data() + begin_, size);
  begin_ += size;
  if (begin_ == prefix_.size()) ReleaseMemory(&prefix_);
  return {size, IoStatus::kOk};
}

void PrefixedStream::Reset() {
  ReleaseMemory(&prefix_);
  tell_.reset();
  stream_->Reset();
}

}  // namespace byrnie
