#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_

#include <functional>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/registry/content.h"
#include "controlplane/registry/registry.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/resource_list.h"

namespace byrnie {

// Makes one registry of what its sources say: what is in force is always the whole of all, checked
// together. No source wins over another: what two of them say both is an error, and what was in
// force stays. Thread-safe; the registry outlives it.
class RegistrySources {
 public:
  using Source = RegistrySource;

  explicit RegistrySources(Registry* registry) : registry_(registry) {}
  RegistrySources(const RegistrySources&) = delete;
  RegistrySources& operator=(const RegistrySources&) = delete;

  // Replaces what a source says, and publishes. InvalidArgument and AlreadyExists as CheckChange.
  //
  // `commit` runs once it is certain that the content is good, before it is in force; its error is
  // returned, and nothing has changed. It must not call this object.
  absl::Status Set(Source source, const RegistryContent& content,
                   const std::function<absl::Status()>& commit = Nothing);
  absl::Status Set(ResourceList list, const std::function<absl::Status()>& commit = Nothing);

  // The same for a part: `make` says, given what is in force, what is to be different.
  absl::Status Change(
      absl::FunctionRef<absl::StatusOr<RegistryChange>(const RegistrySnapshot&)> make,
      const std::function<absl::Status()>& commit = Nothing);

  // From Hold() on what is set is kept, and checked and published as one by Release(), whose errors
  // are those of Set(): when a process starts, each source may refer to what the others say. There
  // is no Change() meanwhile: Unavailable.
  void Hold();
  absl::Status Release();

  // What is in force.
  RegistrySnapshotPtr snapshot() const { return registry_->snapshot(); }
  // Whether a source has a policy of the key "namespace/name".
  bool HasPolicy(Source source, absl::string_view key) const;

 private:
  static absl::Status Nothing() { return absl::OkStatus(); }

  Registry* const registry_;  // Not owned.
  // One change at a time.
  mutable absl::Mutex mu_;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Source, ResourceList> held_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_
