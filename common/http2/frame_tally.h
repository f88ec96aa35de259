#ifndef BYRNIE_COMMON_HTTP2_FRAME_TALLY_H_
#define BYRNIE_COMMON_HTTP2_FRAME_TALLY_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace byrnie {

// Counts the frames in what a peer sends, by what they may be for. nghttp2 does not tell of all: of
// unknown types and of what comes for streams that are closed it says nothing, and each of these
// frames costs as much as others. Looks at nothing but the nine bytes in front of each (RFC 9113
// section 4.1); whether they keep the rules is nghttp2's to judge.
class FrameTally {
 public:
  struct Counts {
    // Of streams that there were: HEADERS, CONTINUATION, RST_STREAM and WINDOW_UPDATE, which come
    // with a stream or answer what was sent on it.
    size_t of_streams = 0;
    // Others that may carry nothing: all but DATA, and of DATA what MayBeEmpty. One of a type that
    // nobody reads counts for each kilobyte once more.
    size_t others = 0;
  };

  // `preface`: how many bytes come before the first frame.
  explicit FrameTally(size_t preface) : left_(preface) {}

  // Whether DATA with this header may be without a byte of data. Data that comes for a closed
  // stream is no sign of anything: it may have been under way.
  static bool MayBeEmpty(size_t length, uint8_t flags) { return length == 0 || (flags & 8) != 0; }

  // Those that end in `data`, which follows what was given before.
  Counts Take(absl::Span<const uint8_t> data);

 private:
  static constexpr size_t kHeader = 9;

  void CountFrame(Counts* counts) const;

  std::array<uint8_t, kHeader> header_{};
  size_t header_size_ = 0;
  size_t left_;  // Of the payload, or of the preface.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_FRAME_TALLY_H_
