#ifndef BYRNIE_CONTROLPLANE_STORE_STORE_MIRROR_H_
#define BYRNIE_CONTROLPLANE_STORE_STORE_MIRROR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Everything under a prefix, in memory and up to date: what is read from it is there while the
// store is away, too. For records that are few and read often. Thread-safe.
class StoreMirror final : private StoreListener {
 public:
  struct Kept {
    std::string value;
    int64_t revision;
  };
  using Entries = std::map<std::string, Kept>;

  // Reads everything once, with the store's errors. `on_change`, which may be empty, is called on a
  // thread of the store after entries() has changed; not by this call, and not once the mirror is
  // gone. The store outlives the mirror.
  static absl::StatusOr<std::unique_ptr<StoreMirror>> Create(Store* store, std::string prefix,
                                                             std::function<void()> on_change);
  StoreMirror(const StoreMirror&) = delete;
  StoreMirror& operator=(const StoreMirror&) = delete;

  std::shared_ptr<const Entries> entries() const;

 private:
  StoreMirror(Store* store, std::string prefix, std::function<void()> on_change);
  absl::Status OnReset() override;
  void OnChanges(const std::vector<StoreChange>& changes) override;
  absl::StatusOr<std::shared_ptr<const Entries>> Read() const;
  void Publish(std::shared_ptr<const Entries> entries);

  Store* const store_;  // Not owned.
  const std::string prefix_;
  const std::function<void()> on_change_;
  mutable absl::Mutex mu_;
  std::shared_ptr<const Entries> entries_ ABSL_GUARDED_BY(mu_);
  // Last: gone before what its calls need.
  std::unique_ptr<StoreWatch> watch_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_STORE_MIRROR_H_
