#ifndef BYRNIE_TEST_BENCH_LOAD_BULK_ORDER_H_
#define BYRNIE_TEST_BENCH_LOAD_BULK_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace byrnie::load {

// What a client asks of a connection to the bulk port, as often as it likes:
//
//   'U' and a count of 8 bytes, big-endian, then so many bytes; the server answers with one byte
//   'D' and a count; the server answers with so many bytes
//
// so that either side knows of the last byte without the connection's end, which not every proxy
// carries one way at a time.
struct BulkOrder {
  // Of its encoding.
  static constexpr size_t kSize = 9;

  bool upload = false;
  uint64_t bytes = 0;

  std::string Encode() const;
};

// Takes an order from bytes that come in any pieces. Lives on one thread.
class BulkOrderParser {
 public:
  enum class State { kIncomplete, kComplete, kBad };

  // Takes what belongs to the order from the front of `data`; the rest is not looked at. After
  // kComplete, Next() begins with the next order; after kBad all that comes is bad.
  State Parse(absl::string_view* data);
  // Of a complete one.
  BulkOrder order() const;
  void Next() { text_.clear(); }
  // Bytes that an order still lacks.
  size_t missing() const { return BulkOrder::kSize - text_.size(); }

 private:
  std::string text_;
};

}  // namespace byrnie::load

#endif  // BYRNIE_TEST_BENCH_LOAD_BULK_ORDER_H_
