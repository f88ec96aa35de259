#ifndef BYRNIE_PROXY_HALF_CLOSE_H_
#define BYRNIE_PROXY_HALF_CLOSE_H_

#include <string>

#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// What is known of a connection of which one side has ended and the other has not.
struct HalfClosed {
  // Since a byte has moved.
  absl::Duration quiet;
  // Bytes wait for a reader. One that is gone is noticed by its stream.
  bool undelivered = false;
  // ByteStream::Unheard.
  absl::Duration downstream_unheard;
  absl::Duration upstream_unheard;
};

// An end whose host has given a sign of life so lately is there: of the keepalives of a half-closed
// connection three in a row may get lost, and the kernel itself gives up after five.
constexpr absl::Duration kHeardLately = absl::Seconds(12);

// When to look again at a half-closed connection; none: it has to end.
//
// An end may take as long for its answer as it would without a proxy, a minute or an hour. What has
// to be free soon is what nobody will ever answer on: the peer is dead, or connection tracking has
// forgotten the connection, or the peer has closed its socket for good, which its kernel answers
// for until its own time for that is over, and resets then. None of these gives signs of life for
// long.
absl::optional<absl::Duration> NextLookAtHalfClosed(const HalfClosed& connection,
                                                    absl::Duration timeout);

// For people: of one that has to end.
std::string WhyHalfClosedEnds(const HalfClosed& connection, absl::Duration timeout);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HALF_CLOSE_H_
