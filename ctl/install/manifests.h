#ifndef BYRNIE_CTL_INSTALL_MANIFESTS_H_
#define BYRNIE_CTL_INSTALL_MANIFESTS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Gives a file of deploy/kubernetes by its path in there, "base/access.yaml". NotFound.
using ManifestReader = std::function<absl::StatusOr<std::string>(const std::string& path)>;

// Those that this program was built with.
absl::StatusOr<std::string> ReadEmbeddedManifest(const std::string& path);
// Those in a directory that is like deploy/kubernetes.
ManifestReader ManifestsIn(std::string directory);

// What kustomize makes of the folder `overlay`: the objects of its `bases` and `resources` in their
// order, with its `images` in the pods that they make. InvalidArgument, naming the file, for what
// is no YAML or no object, for a folder within itself, and for whatever else a kustomization may
// say, which would have to be ignored.
absl::StatusOr<std::vector<Json>> RenderOverlay(const ManifestReader& read,
                                                const std::string& overlay);

// The containers and init containers of the pods that an object makes; none where it makes none.
// They are the object's own.
std::vector<Json*> ContainersOf(Json* object);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_MANIFESTS_H_
