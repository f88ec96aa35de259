#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/registry/change_checker.h"
#include "controlplane/registry/content.h"
#include "controlplane/registry/registry.h"
#include "controlplane/registry/registry_change.h"
#include "controlplane/registry/resource_list.h"

namespace byrnie {

// Makes one registry of what its sources say: what is in force is always the whole of all, checked
// together. What somebody wants to change, and the registry file, is refused where it does not go
// with the rest, and what was in force stays. What is stored is a fact, wherever it was put there:
// it is never refused, but left out or, where it refers to what is not there, in force nevertheless
// (FitChange), and among the troubles until it goes with the rest. Thread-safe; the registry
// outlives it.
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
  // The same for what is stored; the errors are those of `commit`, which is called in any case.
  absl::Status Take(ResourceList list, const std::function<absl::Status()>& commit = Nothing);

  // The same for a part: `make` says, given what is in force, what is to be different.
  absl::Status Change(
      absl::FunctionRef<absl::StatusOr<RegistryChange>(const RegistrySnapshot&)> make,
      const std::function<absl::Status()>& commit = Nothing);
  absl::Status TakeChange(
      absl::FunctionRef<absl::StatusOr<RegistryChange>(const RegistrySnapshot&)> make,
      const std::function<absl::Status()>& commit = Nothing);

  // From Hold() on what is set is kept, and checked and published as one by Release(), whose errors
  // are those of Set() that are about the file: when a process starts, each source may refer to
  // what the others say. There is no Change() meanwhile: Unavailable.
  void Hold();
  absl::Status Release();

  // What is in force.
  RegistrySnapshotPtr snapshot() const { return registry_->snapshot(); }
  // Whether a source has a policy of the key "namespace/name".
  bool HasPolicy(Source source, absl::string_view key) const;
  // What a source has stored under a key and is left out; null: nothing. Where a change removes it,
  // it is forgotten.
  ResourcePtr LeftOut(Source source, ResourceType type, absl::string_view key) const;
  // What is stored and does not go with the rest, the file's entries too that something stored has
  // gone away from under.
  std::vector<StoredTrouble> troubles() const;
  // Is told of each, and of its end. Must not call this object. Set before there are threads.
  void SetTroubleListener(std::function<void(const StoredTrouble&, bool ended)> listener);

 private:
  using Make = absl::FunctionRef<absl::StatusOr<RegistryChange>(const RegistrySnapshot&)>;
  // A source's resource of a type and name.
  using TroubleKey = std::tuple<Source, ResourceType, std::string>;
  using Troubles = std::map<TroubleKey, StoredTrouble>;

  static TroubleKey KeyOf(const Resource& resource);
  // False: it is not kept, because nothing is held.
  bool Keep(ResourceList* list, const std::function<absl::Status()>& commit, absl::Status* status);
  absl::Status Carry(Make make, const std::function<absl::Status()>& commit, bool stored);
  // Puts the change in force, with what was left out and goes with the rest now.
  void Publish(const RegistrySnapshotPtr& base, const RegistryChange& change, Troubles troubles)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static absl::Status Nothing() { return absl::OkStatus(); }

  Registry* const registry_;  // Not owned.
  // One change at a time.
  mutable absl::Mutex mu_;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Source, ResourceList> held_ ABSL_GUARDED_BY(mu_);
  Troubles troubles_ ABSL_GUARDED_BY(mu_);
  std::function<void(const StoredTrouble&, bool ended)> listener_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_
