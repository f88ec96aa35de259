#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_FILE_MARK_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_FILE_MARK_H_

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "controlplane/store/store.h"

namespace byrnie {

// What the store knows of the mesh's registry files: whether one of them has had entries. By that a
// process that starts finds out that a file has lost all of them, where nobody looked, or where the
// one that looked is gone. It stays until a file says that none are meant to be. Thread-safe but
// for what says otherwise.
class RegistryFileMark {
 public:
  // Reads it. Errors as the store, which outlives it.
  static absl::StatusOr<std::unique_ptr<RegistryFileMark>> Load(Store* store);

  bool had_entries() const { return had_entries_; }
  // As the file of now has it: StaticFile::had_entries().
  void Set(bool had_entries) { had_entries_ = had_entries; }

  // Writes it, or takes it away, where that has not been done; again the next time where the store
  // cannot, which says so itself. Waits for the store; to be called by one thread, about twice a
  // second.
  void Write();

 private:
  RegistryFileMark(Store* store, bool written)
      : store_(store), had_entries_(written), written_(written) {}

  Store* const store_;  // Not owned.
  std::atomic<bool> had_entries_;
  bool written_;  // Whether it is in the store. Of Write's thread.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_FILE_MARK_H_
