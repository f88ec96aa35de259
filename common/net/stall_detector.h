#ifndef BYRNIE_COMMON_NET_STALL_DETECTOR_H_
#define BYRNIE_COMMON_NET_STALL_DETECTOR_H_

#include "absl/time/time.h"

namespace byrnie {

// Tells a peer that is gone from one that is slow, for a connection with data under way.
// TCP_USER_TIMEOUT (RFC 5482) does not: on Linux it also ends a connection whose peer lives,
// answers every window probe, and only does not read for that long, so that backpressure would cut
// connections.
//
// Asked every kInterval while the kernel's send queue is not empty; a new one for each such time. A
// value.
class StallDetector {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(5);
  // A peer that has acknowledged nothing at all for this many intervals is gone.
  static constexpr int kSilentIntervals = 6;

  // What the kernel knows of the connection (TCP_INFO).
  struct Progress {
    // Segments sent and not acknowledged.
    unsigned unacknowledged = 0;
    // Window probes sent since the last one that was answered.
    unsigned unanswered_probes = 0;
    // Since the last acknowledgement of any kind, answers to window probes included.
    absl::Duration since_acknowledgement;
  };

  // Once per interval; true: the peer is gone.
  bool IsGone(const Progress& progress);

 private:
  int silent_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_STALL_DETECTOR_H_
