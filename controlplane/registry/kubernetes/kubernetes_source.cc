#include "controlplane/registry/kubernetes/kubernetes_source.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/registry/content_checker.h"
#include "controlplane/registry/resource.h"
#include "controlplane/registry/resource_list.h"

namespace byrnie {
namespace {

using istio::workload::Service;
using istio::workload::Workload;

constexpr RegistrySource kSource = RegistrySource::kKubernetes;

template <typename Entries>
void Overwrite(Entries from, Entries* to) {
  for (auto& entry : from) (*to)[entry.first] = std::move(entry.second);
}

// Decides, entry by entry, whether what is pending goes with a registry.
class Admission {
 public:
  Admission(const RegistrySnapshot& base, const RegistryModel::Update& pending,
            std::set<std::string>* left_out)
      : base_(base), pending_(pending), left_out_(left_out) {}

  RegistryChange Run() {
    for (const auto& [key, service] : pending_.services) {
      if (service == nullptr) {
        Remove(key);
      } else {
        Admit(key, *service);
      }
    }
    for (const auto& [key, workload] : pending_.workloads) {
      if (workload == nullptr) {
        Remove(key);
        continue;
      }
      Workload admitted = *workload;
      auto* services = admitted.mutable_services();
      for (auto it = services->begin(); it != services->end();) {
        const auto here = it++;
        if (!IsThere(here->first)) services->erase(here);
      }
      Admit(key, admitted);
    }
    return std::move(change_);
  }

 private:
  void Remove(const std::string& key) {
    ResourcePtr known = base_.Get(ResourceType::kAddress, key);
    if (known != nullptr && known->source == kSource) change_.removed.push_back(std::move(known));
  }

  bool IsPending(const std::string& key) const {
    return pending_.services.count(key) + pending_.workloads.count(key) > 0;
  }

  // The service, when all is done.
  bool IsThere(const std::string& key) const {
    if (put_.count(key) > 0) return true;
    const Resource* const known = base_.Find(ResourceType::kAddress, key);
    return known != nullptr && known->kind == ResourceKind::kService && !IsPending(key);
  }

  template <typename Message>
  void Admit(const std::string& key, const Message& message) {
    ResourcePtr made = CheckEntry(message).ok() ? MakeResource(kSource, message) : nullptr;
    if (made == nullptr || !Fits(*made)) {
      left_out_->insert(key);
      Remove(key);
      return;
    }
    for (const std::string& alias : made->aliases) addresses_.emplace(alias, key);
    put_.insert(key);
    const Resource* const known = base_.Find(ResourceType::kAddress, key);
    if (known != nullptr && known->kind == made->kind && known->payload == made->payload) return;
    change_.put.push_back({std::move(made), ListedResource::kNoIndex});
  }

  bool Fits(const Resource& made) const {
    const Resource* const known = base_.Find(ResourceType::kAddress, made.name);
    if (known != nullptr && known->source != kSource) return false;
    for (const std::string& alias : made.aliases) {
      if (addresses_.count(alias) > 0) return false;
      const Resource* const owner = base_.AtAddress(alias);
      if (owner == nullptr || owner->name == made.name) continue;
      // One that is pending has its say in this change, and loses the address or has been asked.
      if (owner->source != kSource || !IsPending(owner->name)) return false;
    }
    return true;
  }

  const RegistrySnapshot& base_;
  const RegistryModel::Update& pending_;
  std::set<std::string>* const left_out_;
  RegistryChange change_;
  std::set<std::string> put_;
  std::map<std::string, std::string> addresses_;
};

}  // namespace

KubernetesSource::KubernetesSource(KubernetesMesh mesh, const Informers& informers, EventLoop* loop,
                                   RegistrySources* sources, Logger* logger,
                                   MetricRegistry* metrics)
    : informers_(informers),
      sources_(sources),
      logger_(logger),
      left_out_gauge_(metrics->AddGauge(
          "byrnie_controlplane_kubernetes_left_out",
          "Workloads and services of the cluster that do not go with the rest of the registry.")),
      model_(std::move(mesh)),
      publish_(loop->NewTimer([this] { Publish(); })) {
  informers.pods->AddListener([this](const Informer<Pod>::Changes& changes) {
    model_.OnPods(changes);
    OnChange();
  });
  informers.services->AddListener([this](const Informer<KubeService>::Changes& changes) {
    model_.OnServices(changes);
    OnChange();
  });
  informers.slices->AddListener([this](const Informer<EndpointSlice>::Changes& changes) {
    model_.OnSlices(changes);
    OnChange();
  });
  informers.nodes->AddListener([this](const Informer<LabelledObject>::Changes& changes) {
    model_.OnNodes(changes);
    OnChange();
  });
  informers.namespaces->AddListener([this](const Informer<LabelledObject>::Changes& changes) {
    model_.OnNamespaces(changes);
    OnChange();
  });
  informers.policies->AddListener([this](const Informer<PolicySelector>::Changes& changes) {
    model_.OnPolicies(changes);
    OnChange();
  });
}

void KubernetesSource::OnChange() {
  const bool synced = informers_.pods->synced() && informers_.services->synced() &&
                      informers_.slices->synced() && informers_.nodes->synced() &&
                      informers_.namespaces->synced() && informers_.policies->synced();
  if (!synced) return;
  // Not later for what comes meanwhile; sooner than a second try.
  if (publish_->scheduled() && left_out_.empty() && logged_.empty()) return;
  publish_->Schedule(kGather);
}

void KubernetesSource::Publish() {
  RegistryModel::Update update = model_.TakeUpdate();
  Overwrite(std::move(update.services), &pending_.services);
  Overwrite(std::move(update.workloads), &pending_.workloads);
  std::set<std::string> left_out;
  // The cluster has changed whether or not that goes with what is stored: a service that a stored
  // workload is behind may be gone.
  const absl::Status changed = sources_->TakeChange([&](const RegistrySnapshot& base) {
    left_out.clear();
    return Make(base, &left_out);
  });
  if (!changed.ok()) {
    publish_->Schedule(kTryAgain);
    if (logged_ == changed.message()) return;
    logged_ = std::string(changed.message());
    logger_->Error("what the cluster says does not go with the registry, what was in force stays",
                   {{"error", changed.message()}});
    return;
  }
  logged_.clear();
  if (!ready_.exchange(true)) {
    logger_->Info("the cluster is in the registry",
                  {{"workloads", static_cast<uint64_t>(pending_.workloads.size())},
                   {"services", static_cast<uint64_t>(pending_.services.size())}});
  }
  for (const std::string& key : left_out) {
    if (left_out_.count(key) > 0) continue;
    logger_->Warning(
        "an object of the cluster is left out: its name is none, or its key or address is "
        "another's",
        {{"key", key}});
  }
  left_out_gauge_->Set(static_cast<int64_t>(left_out.size()));
  left_out_ = std::move(left_out);
  if (left_out_.empty()) {
    pending_ = RegistryModel::Update();
  } else {
    // All of it, because workloads may have lost a service that was left out.
    publish_->Schedule(kTryAgain);
  }
}

absl::StatusOr<RegistryChange> KubernetesSource::Make(const RegistrySnapshot& base,
                                                      std::set<std::string>* left_out) const {
  return Admission(base, pending_, left_out).Run();
}

}  // namespace byrnie
