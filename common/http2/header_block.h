#ifndef BYRNIE_COMMON_HTTP2_HEADER_BLOCK_H_
#define BYRNIE_COMMON_HTTP2_HEADER_BLOCK_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "common/http2/connect_session.h"

namespace byrnie {

// The header block being received; a connection carries one at a time (RFC 9113 section 4.3).
struct HeaderBlock {
  // Takes one field, unless the block has become larger than `limit` as RFC 9113 section 6.5.2
  // counts: then it is too large for good and holds no fields.
  void Add(absl::string_view name, absl::string_view value, size_t limit);

  std::string method;
  std::string authority;
  int status = 0;
  HeaderList headers;
  size_t size = 0;
  bool too_large = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_HTTP2_HEADER_BLOCK_H_
