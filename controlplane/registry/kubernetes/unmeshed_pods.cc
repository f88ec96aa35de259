#include "controlplane/registry/kubernetes/unmeshed_pods.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

constexpr char kInject[] = "byrnie.io/inject";
// Of a reason that is told with the names of others.
constexpr size_t kMaxWhy = 120;
constexpr char kOptedOutWithOne[] = "and has a container called byrnie-proxy all the same";
constexpr char kAmbient[] = "is in Istio's ambient mesh, by its own annotation";
constexpr char kBoth[] =
    "is in Istio's ambient mesh, too, whose redirect is beside that of its sidecar: take the label "
    "istio.io/dataplane-mode off, and restart it";

bool Says(const Labels& labels, const char* value) {
  const auto found = labels.find(kInject);
  return found != labels.end() && found->second == value;
}

std::string InjectLabel(const LabelledObject& ns) {
  const auto found = ns.labels.find(kInject);
  return found == ns.labels.end() ? "" : found->second;
}

// Its node's proxy has it, says Istio; and so may whoever has made the pod.
bool IsAmbient(const Pod& pod) {
  const auto found = pod.annotations.find("ambient.istio.io/redirection");
  return found != pod.annotations.end() && found->second == "enabled";
}

bool IsThere(const Pod* pod) { return pod != nullptr && !pod->finished && !pod->terminating; }

// Of a namespace that bears the label.
std::string WrongLabel(absl::string_view value) {
  return absl::StrCat("the label byrnie.io/inject of its namespace is \"", value,
                      "\", neither true nor false, so nobody meshes it");
}

bool IsOptedOut(const Pod& pod) {
  return Says(pod.labels, "false") || Says(pod.annotations, "false");
}

// What the webhook has left on a pod that it could not mesh.
std::string WhyOf(const Pod& pod) {
  const auto why = pod.annotations.find("byrnie.io/not-injected");
  if (why == pod.annotations.end()) return "";
  size_t end = std::min(why->second.size(), kMaxWhy);
  // Not in the middle of a character.
  while (end > 0 && end < why->second.size() &&
         (static_cast<unsigned char>(why->second[end]) & 0xC0) == 0x80) {
    --end;
  }
  return why->second.substr(0, end);
}

std::vector<std::string> Named(const std::map<ObjectName, std::string>& pods) {
  std::vector<std::string> names;
  for (const auto& [name, why] : pods) {
    names.push_back(absl::StrCat(name.ns, "/", name.name, why.empty() ? "" : " (", why,
                                 why.empty() ? "" : ")"));
  }
  return names;
}

}  // namespace

UnmeshedPods::UnmeshedPods(Informer<Pod>* pods, Informer<LabelledObject>* namespaces,
                           bool istio_peers, Logger* logger, MetricRegistry* metrics)
    : pods_(pods),
      namespaces_(namespaces),
      istio_peers_(istio_peers),
      logger_(logger),
      count_(metrics->AddGauge(
          "byrnie_controlplane_unmeshed_pods",
          "Pods of meshed namespaces that have no sidecar, or Istio's ambient mesh beside it, "
          "although nobody has opted them out.")) {
  pods->AddListener([this](const Informer<Pod>::Changes& changes) {
    for (const ObjectChange<Pod>& change : changes) {
      Judge(change.name, change.after.get(), LabelOf(change.name.ns));
    }
  });
  namespaces->AddListener(
      [this](const Informer<LabelledObject>::Changes& changes) { OnNamespaces(changes); });
}

std::vector<std::string> UnmeshedPods::names() const {
  absl::MutexLock lock(&mu_);
  return Named(found_);
}

std::vector<std::string> UnmeshedPods::opted_out() const {
  absl::MutexLock lock(&mu_);
  return Named(opted_out_);
}

void UnmeshedPods::OnNamespaces(const Informer<LabelledObject>::Changes& changes) {
  for (const ObjectChange<LabelledObject>& change : changes) {
    const std::string& ns = change.name.name;
    const std::string label = change.after == nullptr ? "" : InjectLabel(*change.after);
    for (auto it = pods_->objects().lower_bound({ns, ""});
         it != pods_->objects().end() && it->first.ns == ns; ++it) {
      Judge(it->first, it->second.get(), label);
    }
  }
}

std::string UnmeshedPods::LabelOf(const std::string& ns) const {
  const auto found = namespaces_->objects().find({"", ns});
  return found == namespaces_->objects().end() ? "" : InjectLabel(*found->second);
}

void UnmeshedPods::Judge(const ObjectName& name, const Pod* pod, const std::string& label) {
  const bool looked_at = !label.empty() && label != "false" && IsThere(pod);
  // Whatever its containers are called: whoever makes a pod can call one like the sidecar's.
  const bool said = looked_at && IsOptedOut(*pod);
  const bool bare = looked_at && !pod->injected;
  const bool ambient = bare && IsAmbient(*pod);
  const bool both = looked_at && pod->injected && IsAmbient(*pod);
  const bool opted_out = said || (ambient && !istio_peers_);
  const bool unmeshed = !said && ((bare && !ambient) || both);
  absl::MutexLock lock(&mu_);
  if (opted_out) {
    opted_out_[name] = !said ? kAmbient : pod->injected ? kOptedOutWithOne : "";
  } else {
    opted_out_.erase(name);
  }
  if (!unmeshed) {
    found_.erase(name);
  } else {
    const std::string why = both ? kBoth : label == "true" ? WhyOf(*pod) : WrongLabel(label);
    const bool known = !found_.insert_or_assign(name, why).second;
    if (!known) {
      logger_->Warning(both ? "a pod of a meshed namespace is in another mesh, too"
                            : "a pod of a meshed namespace has no sidecar",
                       {{"namespace", name.ns}, {"pod", name.name}, {"reason", why}});
    }
  }
  count_->Set(static_cast<int64_t>(found_.size()));
}

}  // namespace byrnie
