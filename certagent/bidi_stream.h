#ifndef BYRNIE_CERTAGENT_BIDI_STREAM_H_
#define BYRNIE_CERTAGENT_BIDI_STREAM_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace byrnie {

// The client's end of a stream of messages both ways, whatever carries it. Lives on one loop.
// Destroying it cancels the stream and its callbacks.
template <typename Request, typename Response>
class BidiStream {
 public:
  struct Callbacks {
    // In the order of the peer. The next one comes after this has returned. Must not destroy the
    // stream.
    absl::AnyInvocable<void(Response)> on_message;
    // Once, in a later turn, nothing after it. May destroy the stream.
    absl::AnyInvocable<void(absl::Status)> on_closed;
  };

  virtual ~BidiStream() = default;
  // Queues a message; nothing after the stream has closed.
  virtual void Send(Request request) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_BIDI_STREAM_H_
