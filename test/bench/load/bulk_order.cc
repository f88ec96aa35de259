#include "test/bench/load/bulk_order.h"

#include <algorithm>

namespace byrnie::load {

std::string BulkOrder::Encode() const {
  std::string text(1, upload ? 'U' : 'D');
  for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(bytes >> shift);
  return text;
}

BulkOrderParser::State BulkOrderParser::Parse(absl::string_view* data) {
  const size_t taken = std::min(missing(), data->size());
  text_.append(data->data(), taken);
  data->remove_prefix(taken);
  if (text_.empty()) return State::kIncomplete;
  if (text_[0] != 'U' && text_[0] != 'D') return State::kBad;
  return text_.size() == BulkOrder::kSize ? State::kComplete : State::kIncomplete;
}

BulkOrder BulkOrderParser::order() const {
  BulkOrder order;
  order.upload = text_[0] == 'U';
  for (size_t i = 1; i < BulkOrder::kSize; ++i) {
    order.bytes = order.bytes << 8 | static_cast<unsigned char>(text_[i]);
  }
  return order;
}

}  // namespace byrnie::load
