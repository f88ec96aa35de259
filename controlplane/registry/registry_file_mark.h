#ifndef BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_FILE_MARK_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_FILE_MARK_H_

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "controlplane/store/store.h"

namespace byrnie {

// What the store knows of the mesh's registry files: whether one of them has had entries. By that a
// process that starts finds out that a file has lost all of them, where nobody looked, or where the
// one that looked is gone. It stays until a file says that none are meant to be, and comes back
// where that was another process's file. Thread-safe but for what says otherwise.
class RegistryFileMark {
 public:
  // How often it is looked for in the store while it is to be there.
  static constexpr absl::Duration kLookInterval = absl::Seconds(10);

  // Reads it. Errors as the store. The pointers outlive it.
  static absl::StatusOr<std::unique_ptr<RegistryFileMark>> Load(Store* store, const Clock* clock);

  bool had_entries() const { return had_entries_; }
  // As the file of now has it: StaticFile::had_entries().
  void Set(bool had_entries) { had_entries_ = had_entries; }

  // Writes it, or takes it away, where that has not been done; again the next time where the store
  // cannot, which says so itself. Now and then it looks whether another process, whose file is to
  // have none, has taken away what this one is to have. Waits for the store; to be called by one
  // thread, about twice a second.
  void Write();

 private:
  RegistryFileMark(Store* store, const Clock* clock, bool written)
      : store_(store),
        clock_(clock),
        had_entries_(written),
        written_(written),
        next_look_(clock->MonotonicNow() + kLookInterval) {}

  // Whether it is to be written, or taken away.
  bool Differs(bool wanted);

  Store* const store_;        // Not owned.
  const Clock* const clock_;  // Not owned.
  std::atomic<bool> had_entries_;
  // Of Write's thread. Whether it is in the store, as far as was seen last; and when that is to be
  // looked at again, monotonic.
  bool written_;
  absl::Duration next_look_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_REGISTRY_FILE_MARK_H_
