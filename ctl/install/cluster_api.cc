#include "ctl/install/cluster_api.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr size_t kMaxAnswer = 16 * 1024 * 1024;

std::string InMetadata(const Json& object, absl::string_view name) {
  const Json* const metadata = Find(object, "metadata");
  return metadata == nullptr ? "" : TextOf(*metadata, name);
}

}  // namespace

absl::StatusOr<Json> CallForObject(ClusterApi* cluster, ApiRequest request) {
  request.max_body = kMaxAnswer;
  ASSIGN_OR_RETURN(const ApiResponse response, cluster->Call(std::move(request)));
  if (!response.ok()) return ApiError(response);
  absl::StatusOr<Json> object = ParseJson(response.body, kMaxAnswer);
  if (object.ok() && object->is_object()) return object;
  return absl::UnavailableError("the API server's answer is no JSON object");
}

absl::StatusOr<Json> GetObject(ClusterApi* cluster, const std::string& target) {
  ApiRequest request;
  request.target = target;
  return CallForObject(cluster, std::move(request));
}

absl::StatusOr<std::vector<Json>> ListObjects(ClusterApi* cluster, const std::string& path,
                                              const std::string& query, int page) {
  std::vector<Json> items;
  std::string more;
  do {
    std::string target = absl::StrCat(path, "?limit=", page);
    if (!query.empty()) absl::StrAppend(&target, "&", query);
    if (!more.empty()) absl::StrAppend(&target, "&continue=", EncodeQuery(more));
    ASSIGN_OR_RETURN(Json list, GetObject(cluster, target));
    Json* const found = ArrayIn(&list, "items");
    for (Json& item : *found) items.push_back(std::move(item));
    const Json* const metadata = Find(list, "metadata");
    more = metadata == nullptr ? "" : TextOf(*metadata, "continue");
  } while (!more.empty());
  return items;
}

std::string ResourceType::ListPath(absl::string_view ns) const {
  return namespaced ? absl::StrCat(root, "/namespaces/", EncodeQuery(ns), "/", plural) : ListPath();
}

std::string ResourceType::Path(absl::string_view ns, absl::string_view name) const {
  return absl::StrCat(ListPath(ns), "/", EncodeQuery(name));
}

absl::StatusOr<ResourceType> ResourceTypes::Find(const std::string& api_version,
                                                 const std::string& kind) {
  if (known_.find(api_version) == known_.end()) {
    const std::string root =
        absl::StrCat(absl::StrContains(api_version, '/') ? "/apis/" : "/api/", api_version);
    absl::StatusOr<Json> list = GetObject(cluster_, root);
    if (!list.ok() && !absl::IsNotFound(list.status())) return list.status();
    std::map<std::string, ResourceType>& kinds = known_[api_version];
    if (list.ok()) {
      for (const Json& resource : ItemsOf(*list, "resources")) {
        const std::string name = TextOf(resource, "name");
        // "pods/status" is a part of one.
        if (absl::StrContains(name, '/')) continue;
        kinds[TextOf(resource, "kind")] = {root, name, IsTrue(resource, "namespaced")};
      }
    }
  }
  const std::map<std::string, ResourceType>& kinds = known_[api_version];
  const auto found = kinds.find(kind);
  if (found != kinds.end()) return found->second;
  return absl::NotFoundError(
      absl::StrCat("this API server does not know ", kind, " of ", api_version));
}

std::string NamespaceOf(const Json& object) { return InMetadata(object, "namespace"); }

std::string ObjectNameOf(const Json& object) { return InMetadata(object, "name"); }

std::string DescribeObject(const Json& object) {
  const std::string ns = NamespaceOf(object);
  return absl::StrCat(TextOf(object, "kind"), " ", ns, ns.empty() ? "" : "/", ObjectNameOf(object));
}

}  // namespace byrnie
