#ifndef BYRNIE_CTL_EDIT_DISTANCE_H_
#define BYRNIE_CTL_EDIT_DISTANCE_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace byrnie {

inline constexpr size_t kMaxComparedWord = 64;

// How many letters have to be put in, left out, changed, or swapped with the next to make `b` of
// `a` (optimal string alignment). For words: it takes time and room by the product of the lengths,
// and of longer ones than kMaxComparedWord letters says that number.
size_t EditDistance(absl::string_view a, absl::string_view b);

}  // namespace byrnie

#endif  // BYRNIE_CTL_EDIT_DISTANCE_H_
