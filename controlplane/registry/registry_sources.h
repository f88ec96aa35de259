#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/registry/content.h"
#include "controlplane/registry/registry.h"

namespace byrnie {

// Makes one registry of what its sources say: what is in force is always the whole of all, checked
// together. No source wins over another: what two of them say both is an error, and what was in
// force stays. Thread-safe; the registry outlives it.
class RegistrySources {
 public:
  enum class Source {
    kFile,  // --registry=static:FILE.
    kApi,   // byrnie.operator.v1.
  };

  explicit RegistrySources(Registry* registry) : registry_(registry) {}
  RegistrySources(const RegistrySources&) = delete;
  RegistrySources& operator=(const RegistrySources&) = delete;

  // Replaces what a source says, and publishes. InvalidArgument as RegistrySnapshot::Create, and
  // AlreadyExists, which names it, when a policy is another source's.
  //
  // `commit` runs once it is certain that the content is good, before it is in force; its error is
  // returned, and nothing has changed. It must not call this object.
  absl::Status Set(
      Source source, RegistryContent content,
      const std::function<absl::Status()>& commit = [] { return absl::OkStatus(); });

  // What is in force.
  RegistrySnapshotPtr snapshot() const { return registry_->snapshot(); }
  // Whether a source has a policy of the key "namespace/name".
  bool HasPolicy(Source source, absl::string_view key) const;

 private:
  RegistryContent& Of(Source source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return source == Source::kFile ? file_ : api_;
  }

  Registry* const registry_;  // Not owned.
  mutable absl::Mutex mu_;
  RegistryContent file_ ABSL_GUARDED_BY(mu_);
  RegistryContent api_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_SOURCES_H_
