#ifndef BYRNIE_CONTROLPLANE_OPERATOR_PAGE_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Which part of an ordered list a request wants: what comes after a key, up to a number of
// elements. A value.
class Page {
 public:
  static constexpr size_t kDefaultSize = 100;
  static constexpr size_t kMaxSize = 1000;

  // `list` names the list and what it is filtered by: a token is of one list only. InvalidArgument,
  // with the field, for a negative size and a token that is none of that list's.
  static absl::StatusOr<Page> Create(int32_t size, absl::string_view token, absl::string_view list);

  size_t size() const { return size_; }
  // Only keys above it are wanted; empty: from the first on.
  const std::string& after() const { return after_; }
  // What to give for a page that ended with `key` while there are more.
  std::string TokenAfter(absl::string_view key) const;

 private:
  Page(size_t size, std::string after, std::string list)
      : size_(size), after_(std::move(after)), list_(std::move(list)) {}

  size_t size_;
  std::string after_;
  std::string list_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_PAGE_H_
