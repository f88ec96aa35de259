#ifndef BYRNIE_CONTROLPLANE_STORE_GUARDED_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_GUARDED_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Another Store, which is believed only while it is the one it was: the entry that says what it is
// of is there, and its revision has not gone back. What a store has lost would else look like
// deletions, and be followed: policies would go, and another root would be made.
//
// Once it is another one, every call is Unavailable, and a watch tells nothing any more: whoever
// uses it keeps what it has, as while the store is away. That is so for good, for this process:
// what it holds in memory is newer than what the store can be made to hold again.
//
// Looks at what calls bring, and asks once more where that could be a loss: after something was not
// found or deleted, and after every list. Writes require the entry to be what it was. Thread-safe;
// the pointers outlive it.
class GuardedStore final : public Store {
 public:
  // Of an entry that has changed: OK where that is all right; Unavailable where it does not tell,
  // and is to be judged again once it is another one. Until then calls fail as while the store is
  // away.
  using Judge = std::function<absl::Status(const StoreEntry&)>;
  // Is told once, on the thread that has seen it, with the reason.
  using OnLost = std::function<void(const absl::Status&)>;

  // `key` is that of the entry, which has `revision`.
  GuardedStore(Store* store, std::string key, int64_t revision, Judge judge, OnLost on_lost);

  // OK, or why the store is not believed any more; without asking it.
  absl::Status lost() const;

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override;
  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override;
  absl::StatusOr<int64_t> Count(absl::string_view prefix) override;
  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) override;
  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override;
  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override;

 private:
  class Listener;
  class GuardedWatch;

  // Asks the store what it is now. The reason, once that is not what it was; the store's errors.
  absl::Status Ask();
  // Judges a revision of the whole store, which was asked for when `known` was the greatest.
  absl::Status JudgeRevision(int64_t known, int64_t revision);
  absl::Status Lose(std::string what);
  int64_t greatest() const;

  Store* const store_;  // Not owned.
  const std::string key_;
  const Judge judge_;
  const OnLost on_lost_;
  mutable absl::Mutex mu_;
  // Of the entry.
  int64_t revision_ ABSL_GUARDED_BY(mu_);
  // Of the whole store, that was seen.
  int64_t greatest_ ABSL_GUARDED_BY(mu_);
  absl::Status lost_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_GUARDED_STORE_H_
