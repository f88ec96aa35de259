#include "deploy/injector/sidecar_merge.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace byrnie {
namespace {

// Of a container; not ours to decide once it is made.
constexpr const char* kTheirs[] = {"image", "imagePullPolicy", "resources"};

// A list of a container whose elements have a key each.
struct KeyedList {
  const char *name, *key;
};
constexpr size_t kMaxNamed = 3;
constexpr size_t kMaxShown = 48;
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

const KeyedList* ListNamed(const std::string& name) {
  const auto* const found =
      std::find_if(std::begin(kLists), std::end(kLists),
                   [&name](const KeyedList& list) { return name == list.name; });
  return found == std::end(kLists) ? nullptr : found;
}

// What a program loads or does before its first line, by variables.
constexpr const char* kLoaders[] = {"LD_", "GLIBC_", "GCONV_", "OPENSSL_"};
// Sources of volumes in which there is nothing that a pod of the namespace may not know.
constexpr const char* kOpenSources[] = {"configMap", "downwardAPI", "clusterTrustBundle"};
// Members that stay as we make them, or away: sources of variables and files, what brings somebody
// in, and what ends a container or has it wait.
constexpr const char* kNobodys[] = {
    "envFrom",       "volumeDevices",  "ports",        "stdin",     "stdinOnce", "tty",
    "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "workingDir"};

// Of a probe, by the API server.
bool IsDefault(const std::string& member, const Json& value) {
  return (member == "scheme" && value == "HTTP") || (member == "successThreshold" && value == 1);
}

template <size_t N>
bool IsAmong(const char* const (&names)[N], absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Where our programs, what they load and what they are given are.
constexpr const char* kOurPlaces[] = {"/usr",
                                      "/lib",
                                      "/lib64",
                                      "/bin",
                                      "/proc",
                                      "/etc/ld.so.preload",
                                      "/etc/ld.so.cache",
                                      "/etc/byrnie",
                                      "/run/byrnie",
                                      "/run/secrets/byrnie"};

// Whether the one path is the other or below it; neither ends in a slash.
bool IsAtOrBelow(absl::string_view path, absl::string_view top) {
  return absl::StartsWith(path, top) && (path.size() == top.size() || path[top.size()] == '/');
}

bool CoversOurs(absl::string_view mount_path) {
  absl::ConsumeSuffix(&mount_path, "/");
  // What is not written plainly may lead anywhere.
  if (!absl::StartsWith(mount_path, "/") || absl::StrContains(mount_path, "//") ||
      absl::StrContains(mount_path, "/.")) {
    return true;
  }
  return std::any_of(std::begin(kOurPlaces), std::end(kOurPlaces),
                     [mount_path](absl::string_view place) {
                       return IsAtOrBelow(mount_path, place) || IsAtOrBelow(place, mount_path);
                     });
}

bool IsOpen(const Json& volume) {
  const Json* const projected = Find(volume, "projected");
  if (projected == nullptr) {
    return std::any_of(std::begin(kOpenSources), std::end(kOpenSources),
                       [&volume](const char* name) { return Find(volume, name) != nullptr; });
  }
  for (const Json& source : ItemsOf(*projected, "sources")) {
    if (!source.is_object()) return false;
    for (const auto& [name, value] : source.get_ref<const Json::object_t&>()) {
      if (!IsAmong(kOpenSources, name)) return false;
    }
  }
  return true;
}

// One container of ours, as it is there and as it is made now.
class Merger {
 public:
  // `open_volumes` outlives it. `is_root`: with NET_ADMIN.
  Merger(const absl::flat_hash_set<std::string>& open_volumes, bool is_root)
      : open_volumes_(open_volumes), is_root_(is_root) {}

  Json Merge(const Json& there, const Json& ours);
  // What others have added and is not kept, for people.
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  // `ours` has a handful of elements, `there` as many as others like.
  Json MergeList(const Json& there, const Json& ours, const KeyedList& list);
  bool MayStay(const KeyedList& list, const Json& element) const;
  // What others have made of a probe or of hooks of ours, without what they have added.
  Json WithoutAdded(const std::string& name, const Json& there, const Json& ours);

  const absl::flat_hash_set<std::string>& open_volumes_;
  const bool is_root_;
  std::vector<std::string> left_out_;
};

bool Merger::MayStay(const KeyedList& list, const Json& element) const {
  const absl::string_view of = list.name;
  if (is_root_ || of == "ports") return false;
  const std::string name = TextOf(element, "name");
  if (of == "volumeMounts") {
    return open_volumes_.contains(name) && !CoversOurs(TextOf(element, "mountPath"));
  }
  if (of != "env") return true;
  const Json* const from = Find(element, "valueFrom");
  return (from == nullptr || Find(*from, "secretKeyRef") == nullptr) &&
         std::none_of(std::begin(kLoaders), std::end(kLoaders),
                      [&name](const char* prefix) { return absl::StartsWith(name, prefix); });
}

Json Merger::MergeList(const Json& there, const Json& ours, const KeyedList& list) {
  Json made = Json::array();
  for (const Json& element : there) {
    const Json* const own = WithKey(ours, list.key, TextOf(element, list.key));
    if (own != nullptr) {
      // Not with a port of the node's.
      const bool as_it_is =
          IsAmong(kNobodys, list.name) ? SameJson(element, *own) : Covers(element, *own);
      made.push_back(as_it_is ? element : *own);
    } else if (!IsOurs(element)) {
      if (MayStay(list, element)) {
        made.push_back(element);
      } else {
        const std::string name = Shortened(TextOf(element, "name"), kMaxShown);
        left_out_.push_back(absl::StrCat(list.name, name.empty() ? "" : " ", name));
      }
    }
  }
  for (const Json& own : ours) {
    if (WithKey(there, list.key, TextOf(own, list.key)) == nullptr) made.push_back(own);
  }
  return made;
}

Json Merger::WithoutAdded(const std::string& name, const Json& there, const Json& ours) {
  Json made = Json::object();
  for (const auto& [member, value] : there.get_ref<const Json::object_t&>()) {
    const std::string at = absl::StrCat(name, ".", Shortened(member, kMaxShown));
    const Json* const own = Find(ours, member);
    if (own != nullptr) {
      made[member] = own->is_object() ? WithoutAdded(at, value, *own) : value;
    } else if (IsDefault(member, value)) {
      made[member] = value;
    } else {
      left_out_.push_back(at);
    }
  }
  return made;
}

Json Merger::Merge(const Json& there, const Json& ours) {
  Json made = Json::object();
  auto& members = made.get_ref<Json::object_t&>();
  const Json none = Json::array();
  for (const auto& [name, value] : there.get_ref<const Json::object_t&>()) {
    const Json* const own = Find(ours, name);
    const KeyedList* const list = ListNamed(name);
    if (list != nullptr) {
      Json merged = MergeList(value.is_array() ? value : none, own == nullptr ? none : *own, *list);
      if (!merged.empty()) members.push_back({name, std::move(merged)});
    } else if (own == nullptr && IsAmong(kNobodys, name)) {
      if (!value.empty()) left_out_.push_back(name);
    } else if (IsAmong(kNobodys, name) && Covers(value, *own)) {
      // One hook of ours beside one of others, or a probe of ours that asks another host.
      members.push_back({name, WithoutAdded(name, value, *own)});
    } else if (own == nullptr || Covers(value, *own)) {
      members.push_back({name, value});
    } else if (!value.is_null() && IsAmong(kTheirs, name)) {
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

std::string WarningOf(const std::string& container, std::vector<std::string> left_out) {
  const size_t more = left_out.size() > kMaxNamed ? left_out.size() - kMaxNamed : 0;
  left_out.resize(left_out.size() - more);
  return absl::StrCat("container ", container, " does not keep what others have added to it (",
                      absl::StrJoin(left_out, ", "),
                      more == 0 ? "" : absl::StrCat(" and ", more, " more"),
                      "): have the webhook that adds it leave this container alone");
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
  absl::flat_hash_set<std::string> open_volumes;
  for (const Json& volume : ItemsOf(*spec, "volumes")) {
    if (IsOpen(volume)) open_volumes.insert(TextOf(volume, "name"));
  }
  for (Json* const container :
       {&sidecar->agent, &sidecar->proxy, &sidecar->redirect, &sidecar->watch, &sidecar->finish}) {
    if (container->is_null()) continue;
    const std::string name = TextOf(*container, "name");
    const Json* const there = ContainerNamed(*spec, name);
    if (there == nullptr) continue;
    Merger merger(open_volumes, name == kRedirectName || name == kWatchName);
    *container = merger.Merge(*there, *container);
    if (!merger.left_out().empty()) {
      sidecar->warnings.push_back(WarningOf(name, merger.left_out()));
    }
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
