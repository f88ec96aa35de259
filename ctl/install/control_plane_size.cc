#include "ctl/install/control_plane_size.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "ctl/install/manifests.h"
#include "deploy/injector/annotations.h"

namespace byrnie {
namespace {

constexpr absl::string_view kStoreVolume = "store";

absl::Status InFlag(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

// RFC 1123 subdomain, as the API server has it for names of objects.
bool IsObjectName(absl::string_view text) {
  const auto edge = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  return !text.empty() && text.size() <= 253 && edge(text.front()) && edge(text.back()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return edge(c) || c == '-' || c == '.'; });
}

// Null where there is none.
Json* ControlPlaneOf(Json* stateful_set) {
  for (Json* container : ContainersOf(stateful_set)) {
    if (TextOf(*container, "name") == "controlplane") return container;
  }
  return nullptr;
}

// The template of the claim of the store's volume; null where there is none.
Json* StoreClaimOf(Json* stateful_set) {
  Json* const spec = Find(stateful_set, "spec");
  Json* const claims = spec == nullptr ? nullptr : Find(spec, "volumeClaimTemplates");
  if (claims == nullptr || !claims->is_array()) return nullptr;
  for (Json& claim : *claims) {
    const Json* const metadata = Find(claim, "metadata");
    if (metadata != nullptr && TextOf(*metadata, "name") == kStoreVolume) return &claim;
  }
  return nullptr;
}

void SetQuantity(const std::string& quantity, absl::string_view group, absl::string_view resource,
                 Json* container) {
  if (quantity.empty()) return;
  Json* const resources = ObjectIn(container, "resources");
  Json* const values = ObjectIn(resources, group);
  if (quantity != kNoQuantity) {
    (*values)[std::string(resource)] = quantity;
    return;
  }
  Remove(values, resource);
  if (values->empty()) Remove(resources, group);
}

// A quantity may be written as a number, too.
std::string QuantityAt(const Json& container, absl::string_view group, absl::string_view resource) {
  const Json* const value = FindPath(container, {"resources", group, resource});
  if (value == nullptr) return std::string(kNoQuantity);
  return value->is_string() ? value->get<std::string>() : ToText(*value);
}

}  // namespace

bool SameQuantity(absl::string_view a, absl::string_view b) {
  if (a == b) return true;
  const absl::optional<double> one = ParseQuantity(a), other = ParseQuantity(b);
  return one.has_value() && one == other;
}

absl::Status CheckControlPlaneSize(const ControlPlaneSize& size) {
  const std::pair<absl::string_view, const std::string&> kMayBeNone[] = {
      {"memory_limit", size.memory_limit},
      {"memory_request", size.memory_request},
      {"cpu_request", size.cpu_request},
  };
  for (const auto& [flag, text] : kMayBeNone) {
    if (text.empty() || text == kNoQuantity || ParseQuantity(text).has_value()) continue;
    return InFlag(flag, absl::StrCat("\"", text, "\" is no quantity above 0; write one like ",
                                     flag == "cpu_request" ? "500m" : "2Gi", ", or none"));
  }
  if (!size.volume_size.empty() && !ParseQuantity(size.volume_size).has_value()) {
    return InFlag("volume_size", absl::StrCat("\"", size.volume_size,
                                              "\" is no quantity above 0; write one like 5Gi"));
  }
  if (!size.storage_class.empty() && !IsObjectName(size.storage_class)) {
    return InFlag("storage_class",
                  absl::StrCat("\"", size.storage_class, "\" is no StorageClass's name"));
  }
  return absl::OkStatus();
}

absl::Status SetControlPlaneSize(const ControlPlaneSize& size, Json* stateful_set) {
  Json* const container = ControlPlaneOf(stateful_set);
  if (container == nullptr) return absl::InvalidArgumentError("there is no control plane in it");
  SetQuantity(size.memory_limit, "limits", "memory", container);
  SetQuantity(size.memory_request, "requests", "memory", container);
  SetQuantity(size.cpu_request, "requests", "cpu", container);
  const std::string requested = QuantityAt(*container, "requests", "memory"),
                    limit = QuantityAt(*container, "limits", "memory");
  const absl::optional<double> at_least = ParseQuantity(requested), at_most = ParseQuantity(limit);
  if (at_least.has_value() && at_most.has_value() && *at_least > *at_most) {
    return InFlag(size.memory_request.empty() ? "memory_limit" : "memory_request",
                  absl::StrCat("the request of ", requested, " is above the limit of ", limit));
  }
  if (!size.OfVolume()) return absl::OkStatus();
  Json* const claim = StoreClaimOf(stateful_set);
  if (claim == nullptr) {
    return InFlag(size.volume_size.empty() ? "storage_class" : "volume_size",
                  "is for --overlay=sqlite, whose control plane has its store on a volume");
  }
  Json* const spec = ObjectIn(claim, "spec");
  if (!size.volume_size.empty()) {
    (*ObjectIn(ObjectIn(spec, "resources"), "requests"))["storage"] = size.volume_size;
  }
  if (!size.storage_class.empty()) (*spec)["storageClassName"] = size.storage_class;
  return absl::OkStatus();
}

ControlPlaneSize ReadControlPlaneSize(const Json& stateful_set) {
  ControlPlaneSize size;
  Json copy = stateful_set;
  const Json* const container = ControlPlaneOf(&copy);
  if (container == nullptr) return size;
  size.memory_limit = QuantityAt(*container, "limits", "memory");
  size.memory_request = QuantityAt(*container, "requests", "memory");
  size.cpu_request = QuantityAt(*container, "requests", "cpu");
  const Json* const claim = StoreClaimOf(&copy);
  const Json* const spec = claim == nullptr ? nullptr : Find(*claim, "spec");
  if (spec == nullptr) return size;
  size.volume_size = QuantityAt(*spec, "requests", "storage");
  if (size.volume_size == kNoQuantity) size.volume_size.clear();
  size.storage_class = TextOf(*spec, "storageClassName");
  return size;
}

}  // namespace byrnie
