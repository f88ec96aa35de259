#include "deploy/injector/workload.h"

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "deploy/injector/annotations.h"

namespace byrnie {
namespace {

// Lists are not within lists.
constexpr int kMaxListDepth = 2;
// Of annotations and labels that are warned of.
constexpr size_t kMaxMisplaced = 8;

struct Kind {
  absl::string_view group, name;
  // Where the pod is, from the object on; empty: it is the object.
  absl::string_view path;
};

constexpr Kind kKinds[] = {
    {"", "Pod", ""},
    {"", "PodTemplate", "template"},
    {"", "ReplicationController", "spec/template"},
    {"apps", "Deployment", "spec/template"},
    {"apps", "StatefulSet", "spec/template"},
    {"apps", "DaemonSet", "spec/template"},
    {"apps", "ReplicaSet", "spec/template"},
    {"batch", "Job", "spec/template"},
    {"batch", "CronJob", "spec/jobTemplate/spec/template"},
};

// "apps" of "apps/v1"; "" of "v1".
absl::string_view GroupOf(absl::string_view api_version) {
  const size_t slash = api_version.find('/');
  return slash == absl::string_view::npos ? absl::string_view() : api_version.substr(0, slash);
}

Json* FindPod(const Kind& kind, Json* object) {
  Json* found = object;
  for (const absl::string_view name : absl::StrSplit(kind.path, '/', absl::SkipEmpty())) {
    if (found != nullptr) found = Find(found, name);
  }
  return found != nullptr && found->is_object() ? found : nullptr;
}

std::string NameOf(const Json& object) {
  const Json* const metadata = Find(object, "metadata");
  std::string name, space;
  if (metadata != nullptr) {
    name = TextOf(*metadata, "name");
    if (name.empty()) name = TextOf(*metadata, "generateName");
    space = TextOf(*metadata, "namespace");
  }
  return absl::StrCat(TextOf(object, "kind"), " ", space, space.empty() ? "" : "/", name);
}

// Calls `visit` for each pod in `object`, with what makes it.
absl::Status VisitPods(Json* object, int depth,
                       absl::FunctionRef<absl::Status(const Json& object, Json* pod)> visit) {
  const std::string kind_name = TextOf(*object, "kind"), version = TextOf(*object, "apiVersion");
  Json* const items = Find(object, "items");
  if (absl::EndsWith(kind_name, "List") && items != nullptr && items->is_array()) {
    if (depth >= kMaxListDepth) return absl::OkStatus();
    for (Json& item : *items) RETURN_IF_ERROR(VisitPods(&item, depth + 1, visit));
    return absl::OkStatus();
  }
  for (const Kind& kind : kKinds) {
    if (kind_name != kind.name || GroupOf(version) != kind.group) continue;
    Json* const pod = FindPod(kind, object);
    return pod == nullptr ? absl::OkStatus() : visit(*object, pod);
  }
  return absl::OkStatus();
}

// What is written on a workload itself, where nobody looks for it; none of a Pod.
std::vector<std::string> Misplaced(const Json& object, const Json& pod) {
  std::vector<std::string> found;
  if (&object == &pod) return found;
  for (const char* const map : {"annotations", "labels"}) {
    const Json* const members = FindPath(object, {"metadata", map});
    if (members == nullptr || !members->is_object()) continue;
    for (const auto& member : members->items()) {
      if (!absl::StartsWith(member.key(), kAnnotationPrefix) || found.size() == kMaxMisplaced) {
        continue;
      }
      found.push_back(absl::StrCat(Shortened(member.key()),
                                   " of its own metadata means nothing: it is for the metadata of "
                                   "the pod template"));
    }
  }
  return found;
}

}  // namespace

absl::StatusOr<std::vector<WorkloadOutcome>> InjectObject(const InjectorConfig& config,
                                                          Json* object) {
  std::vector<WorkloadOutcome> outcomes;
  Json made = *object;
  RETURN_IF_ERROR(VisitPods(&made, 0, [&](const Json& maker, Json* pod) {
    const std::string name = NameOf(maker);
    absl::StatusOr<PodOutcome> outcome = InjectPod(config, pod);
    if (!outcome.ok()) {
      return absl::Status(outcome.status().code(),
                          absl::StrCat(name, ": ", outcome.status().message()));
    }
    for (std::string& warning : Misplaced(maker, *pod)) {
      outcome->warnings.push_back(std::move(warning));
    }
    outcomes.push_back({name, *std::move(outcome)});
    return absl::OkStatus();
  }));
  *object = std::move(made);
  return outcomes;
}

absl::StatusOr<std::vector<std::string>> UninjectObject(Json* object) {
  std::vector<std::string> changed;
  Json made = *object;
  RETURN_IF_ERROR(VisitPods(&made, 0, [&](const Json& maker, Json* pod) {
    const std::string why = CannotUninject(*pod);
    if (!why.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(NameOf(maker), ": ", why));
    }
    if (UninjectPod(pod)) changed.push_back(NameOf(maker));
    return absl::OkStatus();
  }));
  *object = std::move(made);
  return changed;
}

}  // namespace byrnie
