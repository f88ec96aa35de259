#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_INFORMER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_INFORMER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace byrnie {

// What names an object of one kind; the namespace is empty for kinds without.
struct ObjectName {
  std::string ns, name;

  friend bool operator==(const ObjectName& a, const ObjectName& b) {
    return a.name == b.name && a.ns == b.ns;
  }
  friend bool operator<(const ObjectName& a, const ObjectName& b) {
    return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
  }
};

// What became of one object: one that came has no `before`, one that went no `after`. One that was
// deleted and made again between two looks is a change of one, with another uid.
template <typename T>
struct ObjectChange {
  ObjectName name;
  std::shared_ptr<const T> before, after;
};

// All objects of one kind that the API server has, as T takes them: always the whole of what was
// known at one moment, older or newer, never a part of a list. Lives on one loop.
template <typename T>
class Informer {
 public:
  using Objects = std::map<ObjectName, std::shared_ptr<const T>>;
  using Changes = std::vector<ObjectChange<T>>;
  using Listener = std::function<void(const Changes&)>;

  virtual ~Informer() = default;

  // Whether the objects have been listed once. Before that there are none, and nothing is told.
  virtual bool synced() const = 0;
  virtual const Objects& objects() const = 0;
  // Who hears of changes, after they were made: of all there is when synced() becomes true, which
  // is told even if it is nothing, and from then on of what differs, each object once. Only before
  // the loop runs.
  virtual void AddListener(Listener listener) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_INFORMER_H_
