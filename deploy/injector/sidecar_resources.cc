#include "deploy/injector/sidecar_resources.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

constexpr char kNone[] = "none";

// As manifests have it, which may be a number.
absl::optional<double> QuantityAt(const Json& resources, absl::string_view kind,
                                  absl::string_view resource) {
  const Json* const value = FindPath(resources, {kind, resource});
  if (value == nullptr) return absl::nullopt;
  return ParseQuantity(value->is_string() ? value->get<std::string>() : ToText(*value));
}

// As Kubernetes judges a container for a pod's quality of service.
bool HasGuaranteed(const Json& resources) {
  for (const char* const resource : {"cpu", "memory"}) {
    const absl::optional<double> limit = QuantityAt(resources, "limits", resource);
    if (!limit.has_value()) return false;
    if (FindPath(resources, {"requests", resource}) == nullptr) continue;
    // 300m and 0.3 are the same, but not to the last bit.
    const double request = QuantityAt(resources, "requests", resource).value_or(0);
    if (std::abs(request - *limit) > *limit * 1e-9) return false;
  }
  return true;
}

bool IsGuaranteed(const Json& spec, const std::set<std::string>& ours) {
  size_t containers = 0;
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      if (ours.count(TextOf(container, "name")) > 0) continue;
      const Json* const resources = Find(container, "resources");
      if (resources == nullptr || !HasGuaranteed(*resources)) return false;
      ++containers;
    }
  }
  return containers > 0;
}

Json ResourcesOf(const Json& spec) {
  const Json* const said = Find(spec, "resources");
  return said == nullptr ? Json::object() : *said;
}

}  // namespace

struct SidecarResources::Amount {
  const char *request, *limit;
  // Both, in a Guaranteed pod.
  const char* guaranteed;
};
struct SidecarResources::Amounts {
  Amount cpu, memory;
};

// Otherwise without a limit on CPU, which makes the application's bytes wait. Guaranteed CPU is
// less than a whole one, which a node with static CPUs would give to the container alone.
const SidecarResources::Amounts SidecarResources::kProxy = {{"10m", kNone, "500m"},
                                                            {"32Mi", "256Mi", "256Mi"}};
const SidecarResources::Amounts SidecarResources::kAgent = {{"5m", kNone, "100m"},
                                                            {"32Mi", "128Mi", "128Mi"}};
const SidecarResources::Amounts SidecarResources::kSmall = {{"5m", kNone, "100m"},
                                                            {"16Mi", "64Mi", "64Mi"}};

SidecarResources::SidecarResources(const PodSettings* settings, const Json& spec,
                                   const std::set<std::string>& ours)
    : settings_(settings),
      of_pod_(ResourcesOf(spec)),
      // Where the pod as a whole has resources, its quality of service is theirs.
      guaranteed_(of_pod_.empty() && IsGuaranteed(spec, ours)) {}

Json SidecarResources::Agent() const { return Of("agent", kAgent); }

Json SidecarResources::Proxy() const { return Of("proxy", kProxy); }

Json SidecarResources::Small() const {
  Json resources = Json::object();
  Amount cpu = kSmall.cpu;
  // A namespace with a quota of CPU wants a limit of each container: where the proxy is given one,
  // these have it too.
  const std::string limit = settings_->GetOr("proxy-cpu-limit", kNone);
  const absl::optional<double> amount = ParseQuantity(limit);
  if (amount.has_value() && *amount < *ParseQuantity(cpu.request)) cpu.request = limit.c_str();
  cpu.limit = limit.c_str();
  Add("redirect", "cpu", cpu, &resources);
  Add("redirect", "memory", kSmall.memory, &resources);
  return resources;
}

std::string SidecarResources::Warning() const {
  if (!guaranteed_) return "";
  for (const auto& [container, resources] :
       {std::make_pair("proxy", Proxy()), std::make_pair("agent", Agent()),
        std::make_pair("redirect", Small())}) {
    if (HasGuaranteed(resources)) continue;
    return absl::StrCat("its containers are Guaranteed, and with byrnie-", container,
                        " the pod is Burstable: ", kAnnotationPrefix, container,
                        "-cpu-limit and -memory-limit, without -request, make it Guaranteed again");
  }
  return "";
}

std::string SidecarResources::GrowthWarning() const {
  if (!guaranteed_ || !Warning().empty()) return "";
  for (const char* const said : {"proxy-cpu-request", "proxy-cpu-limit"}) {
    if (settings_->Get(said).has_value()) return "";
  }
  const Json proxy = Proxy();
  const auto of = [&proxy](absl::string_view resource) {
    return TextOf(*Find(proxy, "limits"), resource);
  };
  return absl::StrCat("its containers are Guaranteed, and so its proxy asks for, and is held to, ",
                      of("cpu"), " of CPU and ", of("memory"),
                      " of memory: where that is too much or too little, ", kAnnotationPrefix,
                      "proxy-cpu-limit and -memory-limit; with ", kAnnotationPrefix,
                      "proxy-cpu-limit: none the pod is Burstable and its proxy takes little");
}

Json SidecarResources::Of(absl::string_view container, const Amounts& amounts) const {
  Json resources = Json::object();
  Add(container, "cpu", amounts.cpu, &resources);
  Add(container, "memory", amounts.memory, &resources);
  return resources;
}

// What the pod's annotations say is right together; a default gives way to it. Where the pod as a
// whole has this resource, there is no default: what the containers ask for has to fit into that,
// and they share it.
void SidecarResources::Add(absl::string_view container, absl::string_view resource,
                           const Amount& amount, Json* resources) const {
  std::string request = amount.request, limit = amount.limit;
  for (const char* const kind : {"requests", "limits"}) {
    if (FindPath(of_pod_, {kind, resource}) != nullptr) request = limit = kNone;
  }
  const absl::optional<std::string> said_request = settings_->Get(
                                        absl::StrCat(container, "-", resource, "-request")),
                                    said_limit = settings_->Get(
                                        absl::StrCat(container, "-", resource, "-limit"));
  // A request that somebody says is small is not made a limit.
  if (guaranteed_ && !said_request.has_value() && said_limit != kNone) {
    request = limit = said_limit.value_or(amount.guaranteed);
  }
  std::string requested = said_request.value_or(std::move(request)),
              limited = said_limit.value_or(std::move(limit));
  const absl::optional<double> low = ParseQuantity(requested), high = ParseQuantity(limited);
  if (low.has_value() && high.has_value() && *low > *high) {
    (said_limit.has_value() ? requested : limited) = said_limit.value_or(requested);
  }
  if (ParseQuantity(requested).has_value()) {
    (*resources)["requests"][std::string(resource)] = requested;
  }
  if (ParseQuantity(limited).has_value()) {
    (*resources)["limits"][std::string(resource)] = limited;
  }
}

}  // namespace byrnie
