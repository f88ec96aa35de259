#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_INFORMER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_INFORMER_H_

#include <memory>
#include <utility>
#include <vector>

#include "controlplane/kubernetes/informer.h"

namespace byrnie {

// An Informer whose objects the test puts and removes; each call is one batch of changes.
template <typename T>
class FakeInformer final : public Informer<T> {
 public:
  using typename Informer<T>::Objects;
  using typename Informer<T>::Changes;
  using typename Informer<T>::Listener;

  bool synced() const override { return synced_; }
  const Objects& objects() const override { return objects_; }
  void AddListener(Listener listener) override { listeners_.push_back(std::move(listener)); }

  // These are all there are.
  void Set(std::vector<T> objects) {
    Objects now;
    for (T& object : objects) {
      const ObjectName name = object.name;
      now[name] = std::make_shared<const T>(std::move(object));
    }
    Changes changes;
    for (auto& [name, object] : now) {
      const auto known = objects_.find(name);
      if (known == objects_.end()) {
        changes.push_back({name, nullptr, object});
      } else if (*known->second == *object) {
        object = known->second;
      } else {
        changes.push_back({name, known->second, object});
      }
    }
    for (const auto& [name, object] : objects_) {
      if (now.count(name) == 0) changes.push_back({name, object, nullptr});
    }
    objects_ = std::move(now);
    const bool first = !synced_;
    synced_ = true;
    if (!first && changes.empty()) return;
    for (const Listener& listener : listeners_) listener(changes);
  }
  void Put(T object) {
    std::vector<T> all = All();
    for (T& known : all) {
      if (!(known.name == object.name)) continue;
      known = std::move(object);
      return Set(std::move(all));
    }
    all.push_back(std::move(object));
    Set(std::move(all));
  }
  void Remove(const ObjectName& name) {
    std::vector<T> all;
    for (T& object : All()) {
      if (!(object.name == name)) all.push_back(std::move(object));
    }
    Set(std::move(all));
  }

 private:
  std::vector<T> All() const {
    std::vector<T> all;
    for (const auto& entry : objects_) all.push_back(*entry.second);
    return all;
  }

  bool synced_ = false;
  Objects objects_;
  std::vector<Listener> listeners_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_INFORMER_H_
