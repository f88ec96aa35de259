#ifndef BYRNIE_CONTROLPLANE_DISCOVERY_HELD_RESOURCES_H_
#define BYRNIE_CONTROLPLANE_DISCOVERY_HELD_RESOURCES_H_

#include <cstddef>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "controlplane/registry/resource.h"

namespace byrnie {

// What a client of discovery has, by key: what it says it came with, and what it was sent since.
// The latter is shared with the registry and costs little more than a pointer, because thousands of
// clients may have tens of thousands each. One caller at a time.
class HeldResources {
 public:
  // What an entry costs beside the strings of a claim.
  static constexpr size_t kClaimCost = 96, kSentCost = 32;

  // The client says that it has a version of `name`; what is said again does not count.
  void Claim(const std::string& name, const std::string& version);
  // It has this one now.
  void Put(ResourcePtr resource);
  // False: it had none.
  bool Erase(absl::string_view name);

  bool Contains(absl::string_view name) const { return VersionOf(name).has_value(); }
  // Absent: it has none. Valid until the entry changes.
  absl::optional<absl::string_view> VersionOf(absl::string_view name) const;
  bool empty() const { return claims_.empty() && sent_.empty(); }
  size_t size() const { return claims_.size() + sent_.size(); }
  // Takes one out, of those that are left, and gives its name; there is one.
  std::string TakeOne();

  // What all this holds, about.
  size_t bytes() const { return claimed_bytes_ + sent_.size() * kSentCost; }

 private:
  struct ByName {
    using is_transparent = void;
    static absl::string_view NameOf(const ResourcePtr& resource) { return resource->name; }
    static absl::string_view NameOf(absl::string_view name) { return name; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return NameOf(a) < NameOf(b);
    }
  };
  using Claims = absl::btree_map<std::string, std::string>;
  void EraseClaim(Claims::iterator claim);

  // A key is in one of them.
  Claims claims_;
  absl::btree_set<ResourcePtr, ByName> sent_;
  size_t claimed_bytes_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_DISCOVERY_HELD_RESOURCES_H_
