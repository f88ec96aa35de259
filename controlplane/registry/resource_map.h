#ifndef BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_MAP_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_MAP_H_

#include <string>

#include "absl/strings/string_view.h"
#include "controlplane/registry/resource.h"
#include "controlplane/registry/shared_map.h"

namespace byrnie {

// A resource under its own name.
struct NamedResource {
  ResourcePtr resource;
  absl::string_view key() const { return resource->name; }
  bool operator==(const NamedResource& other) const { return resource == other.resource; }
};

// A resource under another text by which it is found.
struct IndexedResource {
  std::string text;
  ResourcePtr resource;
  absl::string_view key() const { return text; }
  bool operator==(const IndexedResource& other) const { return resource == other.resource; }
};
using ResourceIndex = SharedMap<IndexedResource>;

// Resources by name; reads like a map of strings to resources. Immutable.
class ResourceMap {
 public:
  struct value_type {
    const std::string& first;
    const Resource& second;
  };
  class const_iterator {
   public:
    value_type operator*() const { return {it_->resource->name, *it_->resource}; }
    const_iterator& operator++() {
      ++it_;
      return *this;
    }
    bool operator==(const const_iterator& other) const { return it_ == other.it_; }
    bool operator!=(const const_iterator& other) const { return it_ != other.it_; }

   private:
    friend class ResourceMap;
    explicit const_iterator(SharedMap<NamedResource>::const_iterator it) : it_(it) {}
    SharedMap<NamedResource>::const_iterator it_;
  };

  ResourceMap() = default;
  explicit ResourceMap(SharedMap<NamedResource> map) : map_(std::move(map)) {}

  const_iterator begin() const { return const_iterator(map_.begin()); }
  const_iterator end() const { return const_iterator(map_.end()); }
  const_iterator upper_bound(absl::string_view name) const {
    return const_iterator(map_.UpperBound(name));
  }
  size_t size() const { return map_.size(); }
  const SharedMap<NamedResource>& map() const { return map_; }

 private:
  SharedMap<NamedResource> map_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_RESOURCE_MAP_H_
