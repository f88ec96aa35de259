#include "ctl/install/called_services.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ctl/install/install_settings.h"

namespace byrnie {
namespace {

constexpr char kMutating[] = "MutatingWebhookConfiguration";
constexpr char kValidating[] = "ValidatingWebhookConfiguration";
constexpr char kDefinition[] = "CustomResourceDefinition";
constexpr char kApi[] = "APIService";
// Definitions have whole schemas in them.
constexpr int kDefinitionsOfAPage = 10;

void Add(const std::string& kind, const Json& object, const Json* service,
         std::vector<CalledService>* found) {
  if (service == nullptr || TextOf(*service, "name").empty()) return;
  CalledService called = {TextOf(*service, "namespace"), TextOf(*service, "name"),
                          absl::StrCat(kind, " ", ObjectNameOf(object))};
  // A configuration names the same one in many webhooks.
  for (const CalledService& other : *found) {
    if (other.ns == called.ns && other.name == called.name && other.by == called.by) return;
  }
  found->push_back(std::move(called));
}

void AddAll(const std::string& kind, const absl::StatusOr<std::vector<Json>>& objects,
            CalledServices* called) {
  if (absl::IsNotFound(objects.status())) return;
  if (!objects.ok()) {
    called->unknown.push_back(absl::StrCat(kind, ": ", objects.status().message()));
    return;
  }
  for (const Json& object : *objects) {
    for (CalledService& one : ServicesCalledBy(kind, object)) {
      called->found.push_back(std::move(one));
    }
  }
}

}  // namespace

std::vector<CalledService> ServicesCalledBy(const std::string& kind, const Json& object) {
  std::vector<CalledService> found;
  if (kind == kMutating || kind == kValidating) {
    // It is asked about pods, of which none is its own.
    if (kind == kMutating && ObjectNameOf(object) == kInjectorConfigMap) return found;
    for (const Json& webhook : ItemsOf(object, "webhooks")) {
      Add(kind, object, FindPath(webhook, {"clientConfig", "service"}), &found);
    }
  } else if (kind == kDefinition) {
    Add(kind, object,
        FindPath(object, {"spec", "conversion", "webhook", "clientConfig", "service"}), &found);
  } else if (kind == kApi) {
    Add(kind, object, FindPath(object, {"spec", "service"}), &found);
  }
  return found;
}

CalledServices FindCalledServices(ClusterApi* cluster,
                                  const absl::StatusOr<std::vector<Json>>& mutating) {
  CalledServices called;
  AddAll(kMutating, mutating, &called);
  AddAll(kValidating,
         ListObjects(cluster,
                     "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", ""),
         &called);
  AddAll(kDefinition,
         ListObjects(cluster, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "",
                     kDefinitionsOfAPage),
         &called);
  AddAll(kApi, ListObjects(cluster, "/apis/apiregistration.k8s.io/v1/apiservices", ""), &called);
  return called;
}

}  // namespace byrnie
