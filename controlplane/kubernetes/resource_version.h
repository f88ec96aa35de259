#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_RESOURCE_VERSION_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_RESOURCE_VERSION_H_

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {

// Whether an object or a list of `version` is older than one of `other` of the same resource.
// Kubernetes long called these texts opaque; now they are decimal numbers of any length, and of the
// resources of an API server always were (KEP-5504). Nothing where one of two that differ is none.
inline absl::optional<bool> IsOlderVersion(absl::string_view version, absl::string_view other) {
  if (version == other) return false;
  const auto is_number = [](absl::string_view text) {
    const bool padded = text.size() > 1 && text.front() == '0';
    return !text.empty() && !padded &&
           std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
  };
  if (!is_number(version) || !is_number(other)) return absl::nullopt;
  if (version.size() != other.size()) return version.size() < other.size();
  return version < other;
}

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_RESOURCE_VERSION_H_
