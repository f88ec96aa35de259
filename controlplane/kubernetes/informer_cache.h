#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_INFORMER_CACHE_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_INFORMER_CACHE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/list_watch.h"

namespace byrnie {

// The Informer that a ListWatch feeds. Of each object only what T keeps stays in memory, and a
// version that says the same to T is no change.
//
// An object that cannot be read is as if it were not there; it is counted, and logged.
template <typename T>
class InformerCache final : public Informer<T>, public ListWatch::Sink {
 public:
  using typename Informer<T>::Objects;
  using typename Informer<T>::Changes;
  using typename Informer<T>::Listener;
  using Ptr = std::shared_ptr<const T>;
  // T of an object; T has `name` and operator==.
  using Decode = std::function<absl::StatusOr<T>(const JsonValue& object)>;

  // `resource` as ListWatch::Options::name. The pointers outlive it.
  InformerCache(std::string resource, Decode decode, Logger* logger, MetricRegistry* metrics)
      : resource_(std::move(resource)),
        decode_(std::move(decode)),
        logger_(logger),
        unreadable_(metrics->AddCounter(
            "byrnie_controlplane_kubernetes_unreadable_objects_total",
            "Objects of the API server that could not be understood, by resource.",
            {{"resource", resource_}})),
        synced_gauge_(metrics->AddGauge("byrnie_controlplane_kubernetes_synced",
                                        "1 once all objects of a resource have been listed.",
                                        {{"resource", resource_}})) {}

  const std::string& resource() const { return resource_; }

  bool synced() const override { return synced_; }
  const Objects& objects() const override { return objects_; }
  void AddListener(Listener listener) override { listeners_.push_back(std::move(listener)); }

  void OnListBegin() override { listed_.clear(); }
  void OnListed(const JsonValue& object) override {
    Ptr decoded = Read(object);
    if (decoded != nullptr) listed_[decoded->name] = std::move(decoded);
  }
  void OnListEnd() override {
    for (const auto& [name, object] : listed_) Put(name, object);
    for (auto it = objects_.begin(); it != objects_.end();) {
      const auto here = it++;
      if (listed_.count(here->first) == 0) Remove(here);
    }
    listed_.clear();
    const bool first = !synced_;
    synced_ = true;
    synced_gauge_->Set(1);
    Tell(first);
  }
  void OnPut(const JsonValue& object) override {
    Ptr decoded = Read(object);
    if (decoded != nullptr) {
      const ObjectName name = decoded->name;
      Put(name, std::move(decoded));
      return;
    }
    // What it was before it is no more.
    const absl::StatusOr<ObjectName> name = NameOf(object);
    if (name.ok()) Drop(*name);
  }
  void OnDelete(const JsonValue& object) override {
    const absl::StatusOr<ObjectName> name = NameOf(object);
    if (name.ok()) Drop(*name);
  }
  void OnEventsEnd() override { Tell(/*always=*/false); }

 private:
  static absl::StatusOr<ObjectName> NameOf(const JsonValue& object) {
    absl::StatusOr<JsonObject> top = object.AsObject();
    if (!top.ok()) return top.status();
    absl::StatusOr<JsonObject> metadata = top->GetObject("metadata");
    if (!metadata.ok()) return metadata.status();
    absl::StatusOr<std::string> ns = metadata->GetStringOr("namespace", "");
    absl::StatusOr<std::string> name = metadata->GetString("name");
    if (!ns.ok()) return ns.status();
    if (!name.ok()) return name.status();
    return ObjectName{*std::move(ns), *std::move(name)};
  }

  Ptr Read(const JsonValue& object) {
    absl::StatusOr<T> decoded = decode_(object);
    if (decoded.ok()) return std::make_shared<const T>(*std::move(decoded));
    unreadable_->Increment();
    const ObjectName name = NameOf(object).value_or(ObjectName());
    logger_->Warning("an object of the API server is not understood, and left out",
                     {{"resource", resource_},
                      {"namespace", name.ns},
                      {"name", name.name},
                      {"error", decoded.status().message()}});
    return nullptr;
  }

  void Put(const ObjectName& name, Ptr object) {
    Ptr& known = objects_[name];
    if (known != nullptr && *known == *object) return;
    Note(name, known, object);
    known = std::move(object);
  }
  void Drop(const ObjectName& name) {
    const auto found = objects_.find(name);
    if (found != objects_.end()) Remove(found);
  }
  void Remove(typename Objects::iterator found) {
    Note(found->first, found->second, nullptr);
    objects_.erase(found);
  }

  // Of several changes of one object between two calls of the listener one is told.
  void Note(const ObjectName& name, const Ptr& before, const Ptr& after) {
    const auto inserted = noted_.emplace(name, std::make_pair(before, after));
    if (!inserted.second) inserted.first->second.second = after;
  }
  void Tell(bool always) {
    Changes changes;
    for (auto& [name, versions] : noted_) {
      if (versions.first == nullptr && versions.second == nullptr) continue;
      changes.push_back({name, std::move(versions.first), std::move(versions.second)});
    }
    noted_.clear();
    if (!always && (!synced_ || changes.empty())) return;
    for (const Listener& listener : listeners_) listener(changes);
  }

  const std::string resource_;
  const Decode decode_;
  Logger* const logger_;  // Not owned.
  Counter* const unreadable_;
  Gauge* const synced_gauge_;
  bool synced_ = false;
  Objects objects_;
  // Of the list under way.
  Objects listed_;
  std::map<ObjectName, std::pair<Ptr, Ptr>> noted_;
  std::vector<Listener> listeners_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_INFORMER_CACHE_H_
