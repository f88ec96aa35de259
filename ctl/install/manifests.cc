#include "ctl/install/manifests.h"

#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "ctl/install/embedded_manifests.h"
#include "deploy/injector/yaml_reader.h"

namespace byrnie {
namespace {

constexpr size_t kMaxFile = 4 * 1024 * 1024;
constexpr size_t kMaxFolders = 8;
constexpr absl::string_view kKustomization = "kustomization.yaml";
constexpr absl::string_view kKnown[] = {"apiVersion", "kind", "bases", "resources", "images"};

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

// "base/access.yaml" of "sqlite" and "../base/access.yaml". InvalidArgument when it leads out.
absl::StatusOr<std::string> Join(const std::string& folder, absl::string_view name) {
  std::vector<std::string> parts = absl::StrSplit(folder, '/', absl::SkipEmpty());
  for (const absl::string_view part : absl::StrSplit(name, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (parts.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is outside"));
    } else {
      parts.pop_back();
    }
  }
  if (absl::StartsWith(name, "/") || parts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is outside"));
  }
  return absl::StrJoin(parts, "/");
}

absl::StatusOr<std::vector<Json>> ReadDocuments(const ManifestReader& read,
                                                const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read(path));
  absl::StatusOr<std::vector<YamlNode>> documents = ReadYaml(text);
  if (!documents.ok()) return InFile(path, documents.status());
  std::vector<Json> found;
  for (const YamlNode& document : *documents) {
    absl::StatusOr<Json> value = YamlToJson(document);
    if (!value.ok()) return InFile(path, value.status());
    if (!value->is_null()) found.push_back(*std::move(value));
  }
  return found;
}

absl::StatusOr<std::vector<Json>> ReadObjects(const ManifestReader& read, const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<Json> objects, ReadDocuments(read, path));
  for (const Json& object : objects) {
    if (TextOf(object, "kind").empty() || TextOf(object, "apiVersion").empty()) {
      return InFile(path, absl::InvalidArgumentError("a document has no apiVersion or no kind"));
    }
  }
  return objects;
}

// "registry:5000/byrnie" of "registry:5000/byrnie:1.0@sha256:…".
std::string NameOfImage(const std::string& image) {
  const std::string without_digest = image.substr(0, image.find('@'));
  const size_t slash = without_digest.rfind('/');
  const size_t colon = without_digest.find(':', slash == std::string::npos ? 0 : slash);
  return without_digest.substr(0, colon);
}

absl::Status SetImages(const Json& kustomization, std::vector<Json>* objects) {
  for (const Json& entry : ItemsOf(kustomization, "images")) {
    const std::string name = TextOf(entry, "name"), new_name = TextOf(entry, "newName"),
                      tag = TextOf(entry, "newTag"), digest = TextOf(entry, "digest");
    const Json* const written = Find(entry, "newTag");
    if (name.empty() || (written != nullptr && !written->is_string())) {
      return absl::InvalidArgumentError("images: an entry without a name, or a tag without quotes");
    }
    for (Json& object : *objects) {
      for (Json* container : ContainersOf(&object)) {
        const std::string image = TextOf(*container, "image");
        if (NameOfImage(image) != name) continue;
        const std::string rest =
            tag.empty() && digest.empty() ? image.substr(name.size()) : std::string();
        (*container)["image"] =
            absl::StrCat(new_name.empty() ? name : new_name, rest, tag.empty() ? "" : ":", tag,
                         digest.empty() ? "" : "@", digest);
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Json>> Render(const ManifestReader& read, const std::string& folder,
                                         size_t depth) {
  const std::string path = absl::StrCat(folder, "/", kKustomization);
  if (depth > kMaxFolders) {
    return InFile(path, absl::InvalidArgumentError("folders within folders without end"));
  }
  ASSIGN_OR_RETURN(const std::vector<Json> documents, ReadDocuments(read, path));
  if (documents.size() != 1) {
    return InFile(path, absl::InvalidArgumentError("it is not exactly one object"));
  }
  const Json& kustomization = documents.front();
  for (const auto& member : kustomization.items()) {
    if (absl::c_linear_search(kKnown, member.key())) continue;
    return InFile(path, absl::InvalidArgumentError(absl::StrCat("\"", member.key(),
                                                                "\" is not understood; known are ",
                                                                absl::StrJoin(kKnown, ", "))));
  }
  std::vector<Json> objects;
  // Folders were in a list of their own once, and may be still.
  Json::array_t resources = ItemsOf(kustomization, "bases");
  for (const Json& resource : ItemsOf(kustomization, "resources")) resources.push_back(resource);
  for (const Json& resource : resources) {
    if (!resource.is_string()) {
      return InFile(path, absl::InvalidArgumentError("bases or resources: no name"));
    }
    const absl::StatusOr<std::string> joined = Join(folder, resource.get_ref<const std::string&>());
    if (!joined.ok()) return InFile(path, joined.status());
    ASSIGN_OR_RETURN(std::vector<Json> found, absl::EndsWith(*joined, ".yaml")
                                                  ? ReadObjects(read, *joined)
                                                  : Render(read, *joined, depth + 1));
    for (Json& object : found) objects.push_back(std::move(object));
  }
  const absl::Status images = SetImages(kustomization, &objects);
  if (!images.ok()) return InFile(path, images);
  return objects;
}

}  // namespace

absl::StatusOr<std::string> ReadEmbeddedManifest(const std::string& path) {
  for (const EmbeddedManifest& file : kEmbeddedManifests) {
    if (file.path == path) return std::string(file.text);
  }
  return absl::NotFoundError(absl::StrCat("there is no ", path, " in this program"));
}

ManifestReader ManifestsIn(std::string directory) {
  return [directory = std::move(directory)](const std::string& path) {
    return ReadFile(absl::StrCat(directory, "/", path), kMaxFile);
  };
}

absl::StatusOr<std::vector<Json>> RenderOverlay(const ManifestReader& read,
                                                const std::string& overlay) {
  return Render(read, overlay, 0);
}

std::vector<Json*> ContainersOf(Json* object) {
  std::vector<Json*> found;
  Json* pod = TextOf(*object, "kind") == "Pod" ? object : nullptr;
  Json* spec = Find(object, "spec");
  if (pod == nullptr && spec != nullptr) pod = Find(spec, "template");
  if (pod == nullptr) return found;
  Json* const pod_spec = Find(pod, "spec");
  if (pod_spec == nullptr) return found;
  for (const absl::string_view name : {"initContainers", "containers"}) {
    Json* const list = Find(pod_spec, name);
    if (list == nullptr || !list->is_array()) continue;
    for (Json& container : *list) found.push_back(&container);
  }
  return found;
}

}  // namespace byrnie
