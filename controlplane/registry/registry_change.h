#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_CHANGE_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_CHANGE_H_

#include <vector>

#include "controlplane/registry/resource.h"
#include "controlplane/registry/resource_list.h"

namespace byrnie {

// What is to be different in a registry. A resource is put and removed by its own source.
struct RegistryChange {
  // New ones, and other versions of those there are.
  std::vector<ListedResource> put;
  // Of the registry that is changed.
  std::vector<ResourcePtr> removed;

  bool empty() const { return put.empty() && removed.empty(); }
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_CHANGE_H_
