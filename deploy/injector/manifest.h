#ifndef BYRNIE_DEPLOY_INJECTOR_MANIFEST_H_
#define BYRNIE_DEPLOY_INJECTOR_MANIFEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {

inline constexpr size_t kMaxManifest = 16 * 1024 * 1024;

// A text of YAML documents, or of one in JSON, with the objects in it changed.
struct ManifestResult {
  std::string text;
  // For people, a line each: what became of each object that makes pods.
  std::vector<std::string> notes;
  // Pods that are not meshed and somebody may think they are.
  bool refused = false;
};

// Injects all objects of a manifest. Documents of which nothing changes stay to the byte. Of
// others, comments, the order of keys and their quotes stay but on lines that change; a document
// that is written with [] and {} around what changes is written anew, which a note says.
// InvalidArgument names the document's line or the object; nothing is half done. Internal when the
// new text does not read as it should: our bug, which is found before anybody sees it.
absl::StatusOr<ManifestResult> InjectManifest(const InjectorConfig& config, absl::string_view text);

// Takes the sidecars out again.
absl::StatusOr<ManifestResult> UninjectManifest(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_MANIFEST_H_
