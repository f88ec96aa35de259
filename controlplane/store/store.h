#ifndef BYRNIE_CONTROLPLANE_STORE_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {

// What is kept under a key. Values may be secret (a CA's key): whoever reads such a one wipes it.
struct StoreEntry {
  std::string key;
  std::string value;
  // Of the commit that wrote it last, greater than 0. Revisions grow over the whole store, not by
  // one.
  int64_t revision = 0;
};

// What is to be true when a transaction is carried out.
struct StoreCondition {
  std::string key;
  // The key's entry has exactly this revision; 0: there is none.
  int64_t revision = 0;
};

// A value for a key, or its deletion. Deleting what is not there is no error.
struct StoreWrite {
  std::string key;
  absl::optional<std::string> value;
};

// What one commit does: if all conditions hold, all writes, else nothing.
class StoreTransaction {
 public:
  // Of conditions, and of writes.
  static constexpr size_t kMaxOperations = 100;
  // As many conditions an engine takes: one is GuardedStore's.
  static constexpr size_t kMaxConditions = kMaxOperations + 1;
  // Of the writes' keys and values together.
  static constexpr size_t kMaxBytes = 1 << 20;
  static constexpr size_t kMaxKeyBytes = 1024;

  StoreTransaction& Require(StoreCondition condition);
  StoreTransaction& RequireRevision(absl::string_view key, int64_t revision);
  StoreTransaction& RequireAbsent(absl::string_view key);
  StoreTransaction& Put(absl::string_view key, std::string value);
  StoreTransaction& Delete(absl::string_view key);
  // What it replaces or deletes is secret: an engine that has files of its own leaves it in none of
  // them, as far as it can. A commit takes longer then.
  StoreTransaction& EraseReplaced();

  // InvalidArgument when it is more than a store takes, a key is empty or has bytes that are not
  // printable ASCII, or one is written twice.
  absl::Status Check() const;

  const std::vector<StoreCondition>& conditions() const { return conditions_; }
  const std::vector<StoreWrite>& writes() const { return writes_; }
  bool erases_replaced() const { return erases_replaced_; }
  // Overwrites the values, for transactions with secrets.
  void WipeValues();

 private:
  std::vector<StoreCondition> conditions_;
  std::vector<StoreWrite> writes_;
  bool erases_replaced_ = false;
};

// One change that a watch tells of.
struct StoreChange {
  std::string key;
  // Absent: deleted.
  absl::optional<std::string> value;
  int64_t revision = 0;
};

// What a watch calls: on a thread of the store, one call at a time. It may call the store.
class StoreListener {
 public:
  virtual ~StoreListener() = default;

  // The first call, and made again whenever changes may have been missed: read what matters. An
  // error makes the store call again a second later. Changes after the beginning of this call reach
  // OnChanges; some of them the reading will have seen already, which their revisions tell.
  virtual absl::Status OnReset() = 0;
  // In the order of their revisions; what one commit changed comes in one call.
  virtual void OnChanges(const std::vector<StoreChange>& changes) = 0;
};

// A watch goes on as long as this lives. The destructor, which may not be called by the listener,
// waits for a call under way; there is none afterwards.
class StoreWatch {
 public:
  virtual ~StoreWatch() = default;
};

// Taking part in the choice of one among the processes that share a store. Thread-safe. Destroying
// it gives the place up.
class StoreElection {
 public:
  virtual ~StoreElection() = default;

  // Present while this process is the chosen one. At most one believes it is, by the clocks of the
  // machines; where that is not enough, a transaction with this condition is carried out only while
  // it is true.
  virtual absl::optional<StoreCondition> Leading() const = 0;
};

// What a control plane must not forget: entries under keys, ordered by key, and transactions over
// them, in the manner of etcd v3. Records (controlplane/records) decide what is kept; engines, of
// which one is a file and one a cluster, know nothing of them.
//
// Thread-safe. Every call blocks, on the disk or the network, up to 15 s: never on an event loop
// that others wait for. Errors, each with the reason and the remedy in its message:
//   Unavailable: the engine cannot answer now; nothing has changed. Trying again is right.
//   Unknown, of Commit alone: the engine has gone away during the call, and whether the transaction
//     was carried out could not be found out in time. It was carried out once or not at all; where
//     it was not, that may still happen within the next seconds.
//   InvalidArgument: the transaction is none (StoreTransaction::Check).
class Store {
 public:
  // Most that List gives at once.
  static constexpr int kMaxPage = 1000;

  struct Page {
    std::vector<StoreEntry> entries;
    // Of the store when it was read.
    int64_t revision = 0;
    // There are entries behind the last one.
    bool more = false;
  };

  virtual ~Store() = default;

  // What the newest commit anywhere has left; absent when there is none.
  virtual absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) = 0;
  // Entries whose keys begin with `prefix` and are greater than `after_key`, by key, at most
  // `limit` of them (1 to kMaxPage). Every page is of its own moment: whoever needs all as of one
  // watches.
  virtual absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                                    int limit) = 0;
  virtual absl::StatusOr<int64_t> Count(absl::string_view prefix) = 0;

  // Carries out the transaction, durably, and returns its revision. Aborted when a condition does
  // not hold.
  virtual absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) = 0;

  // Tells `listener`, which outlives the watch, what is under the prefix and what changes there,
  // whoever changes it. Never fails: an engine that is away is waited for.
  virtual std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) = 0;

  // Stands for election. Where a store has one process it is the chosen one at once; else the place
  // of one that ends is free at once, and of one that dies after seconds. Never fails.
  virtual std::unique_ptr<StoreElection> Campaign(absl::string_view name) = 0;
};

// All entries under a prefix, page by page.
absl::StatusOr<std::vector<StoreEntry>> ListAll(Store* store, absl::string_view prefix);

// The least key that begins with `prefix` and is greater than `after_key`: where a page begins.
std::string StorePageStart(absl::string_view prefix, absl::string_view after_key);

// The first key behind all that begin with `prefix`; empty for an empty prefix: there is none.
std::string StorePrefixEnd(absl::string_view prefix);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_STORE_H_
