#ifndef BYRNIE_COMMON_LINK_FRAME_STREAM_H_
#define BYRNIE_COMMON_LINK_FRAME_STREAM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// Frames of byrnie.link.v1 over a ByteStream: a 4-byte big-endian length, then that many bytes.
// Lives on one loop. A frame over kMaxFrame, an end inside a frame or a broken transport ends the
// stream.
class FrameStream {
 public:
  static constexpr size_t kMaxFrame = 4 * 1024 * 1024;
  // More than this unsent means that the peer does not read: the stream ends with
  // ResourceExhausted.
  static constexpr size_t kMaxQueued = 16 * 1024 * 1024;

  class Delegate {
   public:
    virtual ~Delegate() = default;
    // One whole frame. Must not destroy the stream; to end it, call Close().
    virtual void OnFrame(absl::string_view payload) = 0;
    // Once, never inside a call, nothing after it. May destroy the stream. OK: the peer ended
    // cleanly between frames.
    virtual void OnClosed(const absl::Status& status) = 0;
  };

  // The delegate outlives the stream.
  FrameStream(EventLoop* loop, std::unique_ptr<ByteStream> transport, Delegate* delegate);
  ~FrameStream();
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;

  // A frame as bytes, for whoever sends just one; `payload` has at most kMaxFrame.
  static std::string Encode(absl::string_view payload);

  // Queues a frame. InvalidArgument over kMaxFrame; FailedPrecondition after the end;
  // ResourceExhausted over kMaxQueued, which ends the stream.
  absl::Status Send(absl::string_view payload);
  // Ends the stream; OnClosed follows with `why`, in a later turn or at the end of this one. The
  // peer sees a clean end when nothing was queued, else a reset. Idempotent: the first reason
  // stays.
  void Close(absl::Status why);
  ByteStream& transport();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_LINK_FRAME_STREAM_H_
