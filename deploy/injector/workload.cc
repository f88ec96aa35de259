#include "deploy/injector/workload.h"

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
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
  // Where it has no selector.
  bool defaults_selector = false;
};

constexpr Kind kKinds[] = {
    {"", "Pod", ""},
    {"", "PodTemplate", "template"},
    {"", "ReplicationController", "spec/template", /*defaults_selector=*/true},
    {"apps", "Deployment", "spec/template"},
    {"apps", "StatefulSet", "spec/template"},
    {"apps", "DaemonSet", "spec/template"},
    {"apps", "ReplicaSet", "spec/template"},
    // What old manifests have; API servers before 1.16 took it.
    {"extensions", "Deployment", "spec/template", /*defaults_selector=*/true},
    {"extensions", "DaemonSet", "spec/template", /*defaults_selector=*/true},
    {"extensions", "ReplicaSet", "spec/template", /*defaults_selector=*/true},
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

std::string NameOf(const Json& object, absl::string_view kind) {
  const Json* const metadata = Find(object, "metadata");
  std::string name, space;
  if (metadata != nullptr) {
    name = TextOf(*metadata, "name");
    if (name.empty()) name = TextOf(*metadata, "generateName");
    space = TextOf(*metadata, "namespace");
  }
  return absl::StrCat(kind, " ", space, space.empty() ? "" : "/", name);
}

// What an object is. API servers leave it out of the items of a list, whose own says it: PodList.
struct Type {
  std::string kind, version;
};

Type TypeOf(const Json& object, const Type& of_items) {
  Type type{TextOf(object, "kind"), TextOf(object, "apiVersion")};
  return type.kind.empty() && type.version.empty() ? of_items : type;
}

// Of the items of a list; empty where each says its own.
Type TypeOfItems(const Type& list) {
  absl::string_view kind = list.kind;
  absl::ConsumeSuffix(&kind, "List");
  return kind.empty() ? Type() : Type{std::string(kind), list.version};
}

bool IsList(const Type& type, const Json* items) {
  return absl::EndsWith(type.kind, "List") && items != nullptr && items->is_array();
}

const Kind* FindKind(const Type& type) {
  for (const Kind& kind : kKinds) {
    if (type.kind == kind.name && GroupOf(type.version) == kind.group) return &kind;
  }
  return nullptr;
}

// Whether it has, at any depth, what containers are made of.
bool HoldsContainers(const Json& value) {
  if (value.is_array()) {
    return std::any_of(value.begin(), value.end(), HoldsContainers);
  }
  if (!value.is_object()) return false;
  const Json* const one = Find(value, "container");
  if (one != nullptr && !TextOf(*one, "image").empty()) return true;
  const Json::array_t& several = ItemsOf(value, "containers");
  if (!several.empty() && several.front().is_object()) return true;
  return std::any_of(value.begin(), value.end(), HoldsContainers);
}

// Calls `visit` for each pod in `object`, with what makes it.
absl::Status VisitPods(Json* object, const Type& of_items, int depth,
                       absl::FunctionRef<absl::Status(const Kind& kind, const Json& object,
                                                      const std::string& name, Json* pod)>
                           visit) {
  const Type type = TypeOf(*object, of_items);
  Json* const items = Find(object, "items");
  if (IsList(type, items)) {
    if (depth >= kMaxListDepth) return absl::OkStatus();
    const Type of_these = TypeOfItems(type);
    for (Json& item : *items) RETURN_IF_ERROR(VisitPods(&item, of_these, depth + 1, visit));
    return absl::OkStatus();
  }
  const Kind* const kind = FindKind(type);
  Json* const pod = kind == nullptr ? nullptr : FindPod(*kind, object);
  return pod == nullptr ? absl::OkStatus() : visit(*kind, *object, NameOf(*object, type.kind), pod);
}

void CollectUnknown(const Json& object, const Type& of_items, int depth,
                    std::vector<std::string>* names) {
  const Type type = TypeOf(object, of_items);
  const Json* const items = Find(object, "items");
  if (IsList(type, items)) {
    if (depth >= kMaxListDepth) return;
    const Type of_these = TypeOfItems(type);
    for (const Json& item : *items) CollectUnknown(item, of_these, depth + 1, names);
    return;
  }
  if (FindKind(type) == nullptr && HoldsContainers(object)) {
    names->push_back(NameOf(object, type.kind));
  }
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

// Whether the API server makes the selector of the labels of the pod template: it holds every later
// template to it, one without our label too.
bool LabelsAreTheSelector(const Kind& kind, const Json& object) {
  if (!kind.defaults_selector) return false;
  const Json* const selector = FindPath(object, {"spec", "selector"});
  return selector == nullptr || selector->empty();
}

}  // namespace

absl::StatusOr<std::vector<WorkloadOutcome>> InjectObject(const InjectorConfig& config,
                                                          Json* object) {
  std::vector<WorkloadOutcome> outcomes;
  Json made = *object;
  RETURN_IF_ERROR(VisitPods(
      &made, {}, 0, [&](const Kind& kind, const Json& maker, const std::string& name, Json* pod) {
        absl::StatusOr<PodOutcome> outcome =
            InjectPod(config, pod, /*label_it=*/!LabelsAreTheSelector(kind, maker));
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

std::vector<std::string> UnknownMakers(const Json& object) {
  std::vector<std::string> names;
  CollectUnknown(object, {}, 0, &names);
  return names;
}

absl::StatusOr<std::vector<std::string>> UninjectObject(Json* object) {
  std::vector<std::string> changed;
  Json made = *object;
  RETURN_IF_ERROR(
      VisitPods(&made, {}, 0, [&](const Kind&, const Json&, const std::string& name, Json* pod) {
        const std::string why = CannotUninject(*pod);
        if (!why.empty()) return absl::InvalidArgumentError(absl::StrCat(name, ": ", why));
        if (UninjectPod(pod)) changed.push_back(name);
        return absl::OkStatus();
      }));
  *object = std::move(made);
  return changed;
}

}  // namespace byrnie
