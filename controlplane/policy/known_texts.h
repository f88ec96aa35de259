#ifndef BYRNIE_CONTROLPLANE_POLICY_KNOWN_TEXTS_H_
#define BYRNIE_CONTROLPLANE_POLICY_KNOWN_TEXTS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace byrnie {

// Texts that there are, sorted, of which policies name some: by all of it, by how it begins or by
// how it ends. There may be a hundred thousand, and a policy may name thousands, so that none is
// compared with all. A value, immutable, thread-safe; copies share the texts.
class KnownTexts {
 public:
  KnownTexts() : KnownTexts(std::vector<std::string>()) {}
  // In any order; what is there twice counts once.
  explicit KnownTexts(std::vector<std::string> texts);

  bool Has(absl::string_view text) const;
  bool AnyStartsWith(absl::string_view prefix) const;
  // The first call sorts all by their ends.
  bool AnyEndsWith(absl::string_view suffix) const;

  size_t size() const { return texts().size(); }
  bool empty() const { return texts().empty(); }
  std::vector<std::string>::const_iterator begin() const { return texts().begin(); }
  std::vector<std::string>::const_iterator end() const { return texts().end(); }

 private:
  struct Data;

  const std::vector<std::string>& texts() const;

  std::shared_ptr<const Data> data_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_KNOWN_TEXTS_H_
