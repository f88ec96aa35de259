#ifndef BYRNIE_DEPLOY_REDIRECT_NUMBER_RANGES_H_
#define BYRNIE_DEPLOY_REDIRECT_NUMBER_RANGES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Numbers of one kind (ports, user ids) as an option lists them: "22", "8000-8100". A value.
class NumberRanges {
 public:
  NumberRanges() = default;

  // InvalidArgument names `flag`, the item and the limits.
  static absl::StatusOr<NumberRanges> Parse(absl::string_view flag,
                                            const std::vector<std::string>& items, uint32_t first,
                                            uint32_t last);

  void Add(uint32_t number) { Add(number, number); }
  // From `first` to `last`, both of them too.
  void Add(uint32_t first, uint32_t last);
  bool empty() const { return ranges_.empty(); }
  bool Contains(uint32_t number) const;
  // Whether every number of `other` is in it.
  bool Covers(const NumberRanges& other) const;
  // A number that both have, in `common`.
  bool Overlaps(const NumberRanges& other, uint32_t* common) const;

  // Sorted, apart from each other; neighbours may be two.
  const std::vector<std::pair<uint32_t, uint32_t>>& ranges() const { return ranges_; }
  // As nft lists a match of them: "22", "8000-8100", "{ 22, 8000-8100 }". Not for none.
  std::string ToNft() const;
  // Each range by itself: "22", "8000-8100".
  std::vector<std::string> Items() const;

 private:
  // Brings ranges_ in order.
  void Merge();

  std::vector<std::pair<uint32_t, uint32_t>> ranges_;
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_NUMBER_RANGES_H_
