#ifndef BYRNIE_CONTROLPLANE_RECORDS_UNREADABLE_RECORDS_H_
#define BYRNIE_CONTROLPLANE_RECORDS_UNREADABLE_RECORDS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// A record of the store that this release cannot read: damaged, or of a newer release.
struct UnreadableRecord {
  std::string key;  // In the store.
  // What is wrong with it; what holds in its place meanwhile; how it is mended.
  std::string why, effect, remedy;
  bool operator==(const UnreadableRecord& other) const {
    return key == other.key && why == other.why && effect == other.effect && remedy == other.remedy;
  }
};

// Which records cannot be read, as each reader has found it last: for the log, the metrics and the
// conditions. One such record keeps nothing else back, so that somebody has to be told.
// Thread-safe; the pointers outlive it.
class UnreadableRecords {
 public:
  // Each has a reader that says of all its records at once which it cannot read.
  enum class Kind {
    kPolicy,
    kRegistry,
    kJwtKey,
    kRevocation,
    kRevocationList,
    kTrust,
    kControlPlane,
    kIssuance
  };

  // `place` is what stands before a key for whoever looks into the store with its own tools; it is
  // part of remedies.
  UnreadableRecords(std::string place, Logger* logger, MetricRegistry* metrics);

  // Those of the kind that cannot be read now. Says in the log which are new, and which can be read
  // again. Cheap where nothing has changed.
  void Set(Kind kind, std::vector<UnreadableRecord> records);
  // By kind, then as they were given.
  std::vector<UnreadableRecord> List() const;

  // What to do about one that no command replaces.
  std::string DeleteByHand(const std::string& key) const;

 private:
  const std::string place_;
  Logger* const logger_;  // Not owned.
  std::map<Kind, Gauge*> gauges_;
  mutable absl::Mutex mu_;
  std::map<Kind, std::vector<UnreadableRecord>> records_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_RECORDS_UNREADABLE_RECORDS_H_
