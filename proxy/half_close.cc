#include "proxy/half_close.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/net/socket.h"

namespace byrnie {

absl::optional<absl::Duration> NextLookAtHalfClosed(const HalfClosed& connection,
                                                    absl::Duration timeout) {
  if (connection.quiet < timeout) return timeout - connection.quiet;
  const bool both_there =
      std::max(connection.downstream_unheard, connection.upstream_unheard) < kHeardLately;
  if (!connection.undelivered && !both_there) return absl::nullopt;
  // Before the next keepalive there is nothing new to see, however short the timeout is.
  return std::max(timeout, kShortKeepaliveIdle);
}

std::string WhyHalfClosedEnds(const HalfClosed& connection, absl::Duration timeout) {
  const bool downstream = connection.downstream_unheard >= connection.upstream_unheard;
  const absl::Duration unheard =
      downstream ? connection.downstream_unheard : connection.upstream_unheard;
  return absl::StrCat("half closed and idle for ", absl::FormatDuration(timeout),
                      downstream ? ", downstream" : ", upstream", " not heard of for ",
                      absl::FormatDuration(absl::Trunc(unheard, absl::Seconds(1))));
}

}  // namespace byrnie
