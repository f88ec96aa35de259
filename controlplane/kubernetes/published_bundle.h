#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_PUBLISHED_BUNDLE_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_PUBLISHED_BUNDLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "controlplane/kubernetes/informer.h"

namespace byrnie {

// A ConfigMap, as far as it says whom agents trust. A value.
struct PublishedBundle {
  // Its key.
  static constexpr char kKey[] = "bundle.pem";

  ObjectName name;
  // "" where it has none.
  std::string pem;
  friend bool operator==(const PublishedBundle& a, const PublishedBundle& b) {
    return a.name == b.name && a.pem == b.pem;
  }
};

// InvalidArgument names a member that has not the type that the API gives it.
absl::StatusOr<PublishedBundle> ParsePublishedBundle(const JsonValue& value);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_PUBLISHED_BUNDLE_H_
