#include "common/link/frame_stream.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/base/release_memory.h"

namespace byrnie {
namespace {

constexpr size_t kHeaderSize = 4;
constexpr size_t kReadChunk = 16 * 1024;
// Read in one turn before other users of the loop get theirs.
constexpr size_t kReadBudget = 256 * 1024;
// A queue keeps its memory up to here between frames; a burst is returned.
constexpr size_t kKeptCapacity = 64 * 1024;

size_t LoadBigEndian32(absl::string_view bytes) {
  size_t value = 0;
  for (size_t i = 0; i < kHeaderSize; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

void AppendFrame(absl::string_view payload, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(payload.size() >> shift & 0xff));
  }
  out->append(payload.data(), payload.size());
}

}  // namespace

class FrameStream::Impl final : public ByteStream::Observer {
 public:
  Impl(EventLoop* loop, std::unique_ptr<ByteStream> transport, Delegate* delegate)
      : loop_(loop),
        transport_(std::move(transport)),
        delegate_(delegate),
        resume_reading_(loop->NewDeferred([this] { ReadFrames(); })),
        report_end_(loop->NewDeferred([this] { delegate_->OnClosed(why_); })) {
    transport_->SetObserver(this);
  }

  ~Impl() override { transport_->SetObserver(nullptr); }

  absl::Status Send(absl::string_view payload) {
    DCHECK(loop_->InLoopThread());
    if (payload.size() > kMaxFrame) {
      return absl::InvalidArgumentError(
          absl::StrCat("a frame of ", payload.size(), " bytes is over the limit of ", kMaxFrame));
    }
    if (ended_) return absl::FailedPreconditionError("the link has ended");
    if (unsent() + kHeaderSize + payload.size() > kMaxQueued) {
      End(absl::ResourceExhaustedError(
          absl::StrCat("the peer does not read: ", unsent(), " bytes wait for it")));
      return why_;
    }
    AppendFrame(payload, &out_);
    Flush();
    return absl::OkStatus();
  }

  void End(absl::Status why) {
    if (ended_) return;
    ended_ = true;
    why_ = std::move(why);
    transport_->SetObserver(nullptr);
    // A frame that was cut must not look like a clean end to the peer.
    if (unsent() == 0) {
      transport_->ShutdownWrite();
    } else {
      transport_->Reset();
    }
    report_end_->Schedule();
  }

  ByteStream& transport() { return *transport_; }

  void OnReadable() override { ReadFrames(); }
  void OnWritable() override { Flush(); }

 private:
  size_t unsent() const { return out_.size() - out_sent_; }

  void ReadFrames() {
    uint8_t chunk[kReadChunk];
    for (size_t budget = kReadBudget; !ended_;) {
      IoResult result = transport_->Read(absl::MakeSpan(chunk));
      if (result.status == IoStatus::kEof) {
        End(in_.empty() ? absl::OkStatus() : absl::DataLossError("the peer ended inside a frame"));
        return;
      }
      if (result.status == IoStatus::kError) {
        End(transport_->error());
        return;
      }
      in_.append(reinterpret_cast<const char*>(chunk), result.bytes);
      DeliverFrames();
      if (result.status == IoStatus::kWouldBlock) return;
      budget -= result.bytes < budget ? result.bytes : budget;
      if (budget == 0) {
        resume_reading_->Schedule();
        return;
      }
    }
  }

  // Hands over the whole frames of the input.
  void DeliverFrames() {
    absl::string_view rest = in_;
    while (!ended_ && rest.size() >= kHeaderSize) {
      const size_t size = LoadBigEndian32(rest);
      if (size > kMaxFrame) {
        End(absl::InvalidArgumentError(absl::StrCat("the peer announces a frame of ", size,
                                                    " bytes; the limit is ", kMaxFrame)));
        return;
      }
      if (rest.size() - kHeaderSize < size) break;
      delegate_->OnFrame(rest.substr(kHeaderSize, size));
      rest.remove_prefix(kHeaderSize + size);
    }
    in_.erase(0, in_.size() - rest.size());
    ReturnMemory(&in_);
  }

  void Flush() {
    while (!ended_ && unsent() > 0) {
      const uint8_t* data = reinterpret_cast<const uint8_t*>(out_.data()) + out_sent_;
      IoResult result = transport_->Write(absl::MakeConstSpan(data, unsent()));
      if (result.status == IoStatus::kError || result.status == IoStatus::kEof) {
        // What the peer said before it went is still worth hearing: the reader finds the same end.
        resume_reading_->Schedule();
        return;
      }
      out_sent_ += result.bytes;
      if (result.status == IoStatus::kWouldBlock) break;
    }
    if (unsent() == 0) {
      out_.clear();
      out_sent_ = 0;
      ReturnMemory(&out_);
    } else if (out_sent_ > out_.size() / 2) {
      out_.erase(0, out_sent_);
      out_sent_ = 0;
    }
  }

  static void ReturnMemory(std::string* buffer) {
    if (buffer->empty() && buffer->capacity() > kKeptCapacity) ReleaseMemory(buffer);
  }

  EventLoop* const loop_;  // Not owned.
  const std::unique_ptr<ByteStream> transport_;
  Delegate* const delegate_;  // Not owned.
  const std::unique_ptr<EventLoop::Deferred> resume_reading_;
  const std::unique_ptr<EventLoop::Deferred> report_end_;
  std::string in_;  // At most one incomplete frame between events.
  std::string out_;
  size_t out_sent_ = 0;
  bool ended_ = false;
  absl::Status why_;
};

FrameStream::FrameStream(EventLoop* loop, std::unique_ptr<ByteStream> transport, Delegate* delegate)
    : impl_(std::make_unique<Impl>(loop, std::move(transport), delegate)) {}

FrameStream::~FrameStream() = default;

absl::Status FrameStream::Send(absl::string_view payload) { return impl_->Send(payload); }

void FrameStream::Close(absl::Status why) { impl_->End(std::move(why)); }

ByteStream& FrameStream::transport() { return impl_->transport(); }

std::string FrameStream::Encode(absl::string_view payload) {
  DCHECK(payload.size() <= kMaxFrame);
  std::string frame;
  AppendFrame(payload, &frame);
  return frame;
}

}  // namespace byrnie
