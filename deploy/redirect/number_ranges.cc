#include "deploy/redirect/number_ranges.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace byrnie {

absl::StatusOr<NumberRanges> NumberRanges::Parse(absl::string_view flag,
                                                 const std::vector<std::string>& items,
                                                 uint32_t first, uint32_t last) {
  NumberRanges ranges;
  for (const std::string& item : items) {
    const std::pair<std::string, std::string> ends = absl::StrSplit(item, absl::MaxSplits('-', 1));
    const bool single = item.find('-') == std::string::npos;
    uint32_t from = 0;
    uint32_t to = 0;
    const bool parsed = absl::SimpleAtoi(ends.first, &from) &&
                        absl::SimpleAtoi(single ? ends.first : ends.second, &to);
    if (!parsed || from < first || to > last || from > to) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, ": \"", item, "\" is neither a number from ", first, " to ",
                       last, " nor a range of them; write it like ", first + 79, " or ",
                       first + 7999, "-", first + 8099));
    }
    ranges.ranges_.emplace_back(from, to);
  }
  // Once: lists may be long.
  ranges.Merge();
  return ranges;
}

void NumberRanges::Add(uint32_t first, uint32_t last) {
  ranges_.emplace_back(first, last);
  Merge();
}

void NumberRanges::Merge() {
  std::sort(ranges_.begin(), ranges_.end());
  std::vector<std::pair<uint32_t, uint32_t>> merged;
  for (const auto& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().second) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

bool NumberRanges::Contains(uint32_t number) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [number](const auto& range) {
    return range.first <= number && number <= range.second;
  });
}

bool NumberRanges::Covers(const NumberRanges& other) const {
  auto range = ranges_.begin();
  for (const auto& [first, last] : other.ranges_) {
    // Neighbours are ranges of their own.
    for (uint64_t next = first; next <= last; next = uint64_t{range->second} + 1) {
      while (range != ranges_.end() && range->second < next) ++range;
      if (range == ranges_.end() || range->first > next) return false;
    }
  }
  return true;
}

bool NumberRanges::Overlaps(const NumberRanges& other, uint32_t* common) const {
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    *common = std::max(a->first, b->first);
    if (*common <= std::min(a->second, b->second)) return true;
    // Both lists are sorted: what ends first meets nothing that comes later.
    ++(a->second < b->second ? a : b);
  }
  return false;
}

std::vector<std::string> NumberRanges::Items() const {
  // nft lists neighbours as one range as soon as a set holds any range.
  const bool intervals = std::any_of(ranges_.begin(), ranges_.end(),
                                     [](const auto& range) { return range.first != range.second; });
  std::vector<std::pair<uint32_t, uint32_t>> shown;
  for (const auto& range : ranges_) {
    if (intervals && !shown.empty() && range.first - shown.back().second == 1) {
      shown.back().second = range.second;
    } else {
      shown.push_back(range);
    }
  }
  std::vector<std::string> items;
  for (const auto& [first, last] : shown) {
    items.push_back(first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last));
  }
  return items;
}

std::string NumberRanges::ToNft() const {
  const std::vector<std::string> items = Items();
  return items.size() == 1 ? items[0] : absl::StrCat("{ ", absl::StrJoin(items, ", "), " }");
}

}  // namespace byrnie
