#include "ctl/edit_distance.h"

#include <algorithm>
#include <array>

namespace byrnie {

size_t EditDistance(absl::string_view a, absl::string_view b) {
  if (a.size() > kMaxComparedWord || b.size() > kMaxComparedWord) return kMaxComparedWord;
  // Between the first i letters of `a` and the first j of `b`.
  std::array<std::array<size_t, kMaxComparedWord + 1>, kMaxComparedWord + 1> distance;
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        distance[i][j] = i + j;
        continue;
      }
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      distance[i][j] = std::min(
          {distance[i - 1][j] + 1, distance[i][j - 1] + 1, distance[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[a.size()][b.size()];
}

}  // namespace byrnie
