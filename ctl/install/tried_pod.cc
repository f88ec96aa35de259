#include "ctl/install/tried_pod.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/manifests.h"
#include "ctl/install/privileges_policy.h"

namespace byrnie {
namespace {

// Of the proxy; "" where the pod has none.
std::string ProxysImage(Json pod) {
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

absl::StatusOr<NewPods> LookAtNewPods(ClusterApi* cluster, const InjectorConfig& config) {
  constexpr absl::string_view kSoon =
      "the kubelet brings the control plane its new configuration in a minute or two";
  const absl::StatusOr<std::vector<Json>> meshed =
      ListObjects(cluster, "/api/v1/namespaces",
                  absl::StrCat("labelSelector=", EncodeQuery("byrnie.io/inject=true")));
  if (absl::IsUnavailable(meshed.status())) return meshed.status();
  NewPods pods;
  if (!meshed.ok()) return pods;
  for (const Json& ns : *meshed) {
    if (!MayBeTriedIn(ns)) continue;
    const absl::StatusOr<Json> pod = TryPod(cluster, ObjectNameOf(ns));
    if (absl::IsUnavailable(pod.status())) return pod.status();
    if (absl::StrContains(pod.status().message(), kPrivilegesPolicy)) {
      pods.awaited = absl::StrCat(
          "a new pod of ", ObjectNameOf(ns), " is refused by the policy ", kPrivilegesPolicy,
          ", which lets in the image that the injector's configuration names: ", kSoon,
          ". Where it stays so, something else changes the redirect, or the policy is of another "
          "release. It says: ",
          pod.status().message());
      return pods;
    }
    // A quota, another policy, or what whoever asks may not do: nothing is learned from it.
    if (!pod.ok()) return pods;
    const std::string image = ProxysImage(*pod);
    const Json* const labels = FindPath(*pod, {"metadata", "labels"});
    if (image.empty() || labels == nullptr) return pods;
    pods.settled =
        image == SidecarsImage(config) && TextOf(*labels, "byrnie.io/rev") == config.revision;
    if (!pods.settled) {
      pods.awaited = absl::StrCat("a new pod of ", ObjectNameOf(ns), " still gets the sidecar ",
                                  image, ": ", kSoon);
    }
    return pods;
  }
  pods.settled = true;
  return pods;
}

}  // namespace byrnie
