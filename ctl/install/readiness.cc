#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/installer.h"

namespace byrnie {
namespace {

int64_t NumberOf(const Json* value, int64_t missing) {
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : missing;
}

// Why a pod does not run, as far as somebody says it; "" for one that does.
std::string Trouble(const Json& pod) {
  const Json* const status = Find(pod, "status");
  if (status == nullptr) return "";
  for (const absl::string_view list : {"initContainerStatuses", "containerStatuses"}) {
    for (const Json& container : ItemsOf(*status, list)) {
      const Json* const waiting = FindPath(container, {"state", "waiting"});
      if (waiting == nullptr) continue;
      const std::string message = TextOf(*waiting, "message");
      return absl::StrCat(TextOf(*waiting, "reason"), message.empty() ? "" : ": ", message);
    }
  }
  for (const Json& condition : ItemsOf(*status, "conditions")) {
    if (TextOf(condition, "status") != "False" || TextOf(condition, "type") != "PodScheduled") {
      continue;
    }
    return absl::StrCat(TextOf(condition, "reason"), ": ", TextOf(condition, "message"));
  }
  return "";
}

absl::StatusOr<std::string> Troubles(ClusterApi* cluster, const std::string& ns) {
  ASSIGN_OR_RETURN(
      const std::vector<Json> pods,
      ListObjects(cluster, absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/pods"),
                  absl::StrCat("labelSelector=", EncodeQuery(kControlPlaneSelector))));
  for (const Json& pod : pods) {
    const std::string trouble = Trouble(pod);
    if (!trouble.empty()) return absl::StrCat("; pod ", ObjectNameOf(pod), ": ", trouble);
  }
  return std::string();
}

}  // namespace

absl::StatusOr<std::string> WhatIsAwaited(ClusterApi* cluster, const std::string& ns) {
  ASSIGN_OR_RETURN(const Json set,
                   GetObject(cluster, absl::StrCat("/apis/apps/v1/namespaces/", EncodeQuery(ns),
                                                   "/statefulsets/byrnie-controlplane")));
  const int64_t wanted = NumberOf(FindPath(set, {"spec", "replicas"}), 1);
  const int64_t ready = NumberOf(FindPath(set, {"status", "readyReplicas"}), 0);
  const int64_t updated = NumberOf(FindPath(set, {"status", "updatedReplicas"}), 0);
  const int64_t generation = NumberOf(FindPath(set, {"metadata", "generation"}), 0);
  const int64_t observed = NumberOf(FindPath(set, {"status", "observedGeneration"}), -1);
  if (observed < generation) return std::string("the StatefulSet's controller has not seen it yet");
  if (updated < wanted || ready < wanted) {
    ASSIGN_OR_RETURN(const std::string why, Troubles(cluster, ns));
    return absl::StrCat(ready, " of ", wanted, " control planes ready, ", updated,
                        " of them as applied", why);
  }
  const absl::StatusOr<Json> webhook = GetObject(
      cluster,
      "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/byrnie-injector");
  if (absl::IsNotFound(webhook.status())) return std::string();
  RETURN_IF_ERROR(webhook.status());
  for (const Json& one : ItemsOf(*webhook, "webhooks")) {
    const Json* const client = Find(one, "clientConfig");
    if (client == nullptr || TextOf(*client, "caBundle").empty()) {
      return std::string("the control plane has not written the webhook's caBundle yet");
    }
  }
  return std::string();
}

}  // namespace byrnie
