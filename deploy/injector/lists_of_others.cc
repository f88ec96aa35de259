#include "deploy/injector/lists_of_others.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace byrnie {
namespace {

struct List {
  absl::string_view annotation;
  absl::string_view separator;
  // Or else of containers.
  bool of_volumes = false;
};

// In every pod: webhooks are often called after ours, and whether a cluster has them, or will
// have when a manifest that is injected now is applied, cannot be known.
constexpr List kLists[] = {
    // https://github.com/aws/amazon-eks-pod-identity-webhook
    {"eks.amazonaws.com/skip-containers", ","},
    // https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html
    {"azure.workload.identity/skip-containers", ";"},
    // https://github.com/kubernetes/autoscaler: a node whose pods have an emptyDir that is in none
    // is not taken away; older releases count those in memory, too.
    {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes", ",", true},
};

std::set<std::string> OursIn(const List& list) {
  return list.of_volumes ? SidecarVolumes() : SidecarNames();
}

std::vector<std::string> NamesFor(const List& list, const SidecarContainers& sidecar) {
  std::vector<std::string> names;
  if (list.of_volumes) {
    for (const Json& volume : sidecar.volumes) {
      if (Find(volume, "emptyDir") != nullptr) names.push_back(TextOf(volume, "name"));
    }
    return names;
  }
  for (const Json* const container :
       {&sidecar.agent, &sidecar.proxy, &sidecar.redirect, &sidecar.watch, &sidecar.finish}) {
    if (!container->is_null()) names.push_back(TextOf(*container, "name"));
  }
  return names;
}

std::string NameIn(absl::string_view item) { return std::string(absl::StripAsciiWhitespace(item)); }

// Of the text of a list.
std::vector<std::string> SortedNames(const List& list, const Json& text) {
  std::vector<std::string> names;
  for (const absl::string_view item :
       absl::StrSplit(text.get_ref<const std::string&>(), list.separator)) {
    names.push_back(NameIn(item));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Json AddToLists(const SidecarContainers& sidecar, Json* annotations) {
  Json all_found = Json::object();
  for (const List& list : kLists) {
    const std::set<std::string> ours = OursIn(list);
    const Json* const there = Find(*annotations, list.annotation);
    // What is no text the API server refuses.
    if (there != nullptr && !there->is_string()) continue;
    std::string text = there == nullptr ? "" : there->get_ref<const std::string&>();
    Json found = Json::array();
    std::set<std::string> listed;
    for (const absl::string_view item : absl::StrSplit(text, list.separator)) {
      const std::string name = NameIn(item);
      if (ours.count(name) > 0 && listed.insert(name).second) found.push_back(name);
    }
    if (!found.empty() || (there != nullptr && text.empty())) {
      all_found[std::string(list.annotation)] = std::move(found);
    }
    for (const std::string& name : NamesFor(list, sidecar)) {
      if (listed.count(name) == 0) {
        absl::StrAppend(&text, text.empty() ? "" : list.separator, name);
      }
    }
    (*annotations)[std::string(list.annotation)] = std::move(text);
  }
  return all_found;
}

void KeepListsAsTheyAre(const Json& before, Json* annotations) {
  for (const List& list : kLists) {
    const Json* const was = Find(before, list.annotation);
    Json* const is = Find(annotations, list.annotation);
    if (was == nullptr || is == nullptr || !was->is_string() || !is->is_string()) continue;
    if (SortedNames(list, *was) == SortedNames(list, *is)) *is = *was;
  }
}

void RemoveFromLists(const Json& status, Json* metadata) {
  const Json* const found = Find(status, "lists");
  if (found == nullptr && !status.is_null()) return;
  Json* const annotations = Find(metadata, "annotations");
  if (annotations == nullptr || !annotations->is_object()) return;
  bool removed = false;
  for (const List& list : kLists) {
    const std::set<std::string> ours = OursIn(list);
    Json* const there = Find(annotations, list.annotation);
    if (there == nullptr || !there->is_string()) continue;
    const std::string text = there->get_ref<const std::string&>();
    const Json* const was = found == nullptr ? nullptr : Find(*found, list.annotation);
    // Both are the pod's, and as long as it likes.
    std::set<std::string> stay;
    if (was != nullptr && was->is_array()) {
      for (const Json& name : *was) {
        if (name.is_string() && ours.count(name.get_ref<const std::string&>()) > 0) {
          stay.insert(name.get<std::string>());
        }
      }
    }
    std::vector<absl::string_view> kept;
    size_t items = 0;
    for (const absl::string_view item : absl::StrSplit(text, list.separator)) {
      ++items;
      const std::string name = NameIn(item);
      if (ours.count(name) == 0 || stay.count(name) > 0) kept.push_back(item);
    }
    if (kept.size() == items) continue;
    if (kept.empty() && was == nullptr) {
      Remove(annotations, list.annotation);
      removed = true;
    } else {
      *there = absl::StrJoin(kept, list.separator);
    }
  }
  if (removed && annotations->empty()) Remove(metadata, "annotations");
}

}  // namespace byrnie
