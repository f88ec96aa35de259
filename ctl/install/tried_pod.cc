#include "ctl/install/tried_pod.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctl/install/manifests.h"

namespace byrnie {
namespace {

// Of the proxy; "" where the pod has none.
std::string SidecarsImage(Json pod) {
  pod["kind"] = "Pod";
  for (const Json* container : ContainersOf(&pod)) {
    if (TextOf(*container, "name") == "byrnie-proxy") return TextOf(*container, "image");
  }
  return "";
}

}  // namespace

bool MayBeTriedIn(const Json& ns) {
  return ObjectNameOf(ns) != "kube-system" &&
         FindPath(ns, {"metadata", "deletionTimestamp"}) == nullptr;
}

absl::StatusOr<Json> TryPod(ClusterApi* cluster, const std::string& ns) {
  Json pod = Json::object();
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  (*ObjectIn(&pod, "metadata"))["generateName"] = "byrnie-check-";
  Json container = Json::object();
  container["name"] = "check";
  container["image"] = "none";
  ArrayIn(ObjectIn(&pod, "spec"), "containers")->push_back(std::move(container));
  ApiRequest request;
  request.method = "POST";
  request.target = absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/pods?dryRun=All");
  request.body = ToText(pod);
  return CallForObject(cluster, std::move(request));
}

absl::StatusOr<std::string> WhatIsAwaitedOfPods(ClusterApi* cluster, const InjectorConfig& config) {
  const absl::StatusOr<std::vector<Json>> meshed =
      ListObjects(cluster, "/api/v1/namespaces",
                  absl::StrCat("labelSelector=", EncodeQuery("byrnie.io/inject=true")));
  if (absl::IsUnavailable(meshed.status())) return meshed.status();
  if (!meshed.ok()) return std::string();
  for (const Json& ns : *meshed) {
    if (!MayBeTriedIn(ns)) continue;
    const absl::StatusOr<Json> pod = TryPod(cluster, ObjectNameOf(ns));
    if (absl::IsUnavailable(pod.status())) return pod.status();
    // A quota, a policy, or what whoever asks may not do: nothing is learned from it.
    if (!pod.ok()) return std::string();
    const std::string image = SidecarsImage(*pod);
    const Json* const labels = FindPath(*pod, {"metadata", "labels"});
    const auto by_default = config.defaults.find("image");
    const std::string& wanted =
        by_default == config.defaults.end() ? config.image : by_default->second;
    if (image.empty() || labels == nullptr ||
        (image == wanted && TextOf(*labels, "byrnie.io/rev") == config.revision)) {
      return std::string();
    }
    return absl::StrCat("a new pod of ", ObjectNameOf(ns), " still gets the sidecar ", image,
                        ": the kubelet brings the control plane its new configuration in a minute "
                        "or two");
  }
  return std::string();
}

}  // namespace byrnie
