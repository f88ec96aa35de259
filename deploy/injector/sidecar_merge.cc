#include "deploy/injector/sidecar_merge.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"

namespace byrnie {
namespace {

// Of a container; not ours to decide once it is made.
constexpr const char* kTheirs[] = {"image", "imagePullPolicy", "resources"};

// A list of a container whose elements have a key each.
struct KeyedList {
  const char *name, *key;
};
constexpr KeyedList kLists[] = {{"env", "name"}, {"ports", "name"}, {"volumeMounts", "mountPath"}};

// Whether `there` says all that `ours` does, with more or without.
bool Covers(const Json& there, const Json& ours) {
  if (there.is_object() && ours.is_object()) {
    for (const auto& [name, value] : ours.get_ref<const Json::object_t&>()) {
      const Json* const found = Find(there, name);
      if (found == nullptr || !Covers(*found, value)) return false;
    }
    return true;
  }
  if (!there.is_array() || !ours.is_array()) return SameJson(there, ours);
  if (there.size() != ours.size()) return false;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (!Covers(there[i], ours[i])) return false;
  }
  return true;
}

// What we have made under such a name, and do not make any more, is nobody's.
bool IsOurs(const Json& element) {
  const std::string name = TextOf(element, "name");
  return absl::StartsWith(name, "BYRNIE_") || absl::StartsWith(name, "byrnie-");
}

const Json* WithKey(const Json& list, const char* key, const std::string& value) {
  for (const Json& element : list) {
    if (TextOf(element, key) == value) return &element;
  }
  return nullptr;
}

// `ours` has a handful of elements, `there` as many as others like.
Json MergeList(const Json& there, const Json& ours, const char* key) {
  Json made = Json::array();
  for (const Json& element : there) {
    const Json* const own = WithKey(ours, key, TextOf(element, key));
    if (own != nullptr) {
      made.push_back(Covers(element, *own) ? element : *own);
    } else if (!IsOurs(element)) {
      made.push_back(element);
    }
  }
  for (const Json& own : ours) {
    if (WithKey(there, key, TextOf(own, key)) == nullptr) made.push_back(own);
  }
  return made;
}

const KeyedList* ListNamed(const std::string& name) {
  const auto* const found =
      std::find_if(std::begin(kLists), std::end(kLists),
                   [&name](const KeyedList& list) { return name == list.name; });
  return found == std::end(kLists) ? nullptr : found;
}

Json MergeContainer(const Json& there, const Json& ours) {
  Json made = Json::object();
  auto& members = made.get_ref<Json::object_t&>();
  const Json none = Json::array();
  for (const auto& [name, value] : there.get_ref<const Json::object_t&>()) {
    const Json* const own = Find(ours, name);
    const KeyedList* const list = ListNamed(name);
    if (list != nullptr && value.is_array()) {
      Json merged = MergeList(value, own == nullptr ? none : *own, list->key);
      if (!merged.empty()) members.push_back({name, std::move(merged)});
    } else if (own == nullptr || Covers(value, *own)) {
      members.push_back({name, value});
    } else if (!value.is_null() &&
               std::find(std::begin(kTheirs), std::end(kTheirs), name) != std::end(kTheirs)) {
      members.push_back({name, value});
    } else {
      members.push_back({name, *own});
    }
  }
  for (const auto& [name, value] : ours.get_ref<const Json::object_t&>()) {
    if (Find(there, name) == nullptr) members.push_back({name, value});
  }
  return made;
}

const Json* ContainerNamed(const Json& spec, const std::string& name) {
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      if (TextOf(container, "name") == name) return &container;
    }
  }
  return nullptr;
}

}  // namespace

void KeepWhatOthersSay(const Json& pod, SidecarContainers* sidecar) {
  const Json* const spec = Find(pod, "spec");
  if (spec == nullptr) return;
  for (Json* const container :
       {&sidecar->agent, &sidecar->proxy, &sidecar->redirect, &sidecar->watch, &sidecar->finish}) {
    if (container->is_null()) continue;
    const Json* const there = ContainerNamed(*spec, TextOf(*container, "name"));
    if (there != nullptr) *container = MergeContainer(*there, *container);
  }
  for (Json& volume : sidecar->volumes) {
    const std::string name = TextOf(volume, "name");
    for (const Json& there : ItemsOf(*spec, "volumes")) {
      if (TextOf(there, "name") != name) continue;
      if (Covers(there, volume)) volume = there;
      break;
    }
  }
}

}  // namespace byrnie
