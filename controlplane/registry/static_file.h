#ifndef BYRNIE_CONTROLPLANE_REGISTRY_STATIC_FILE_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_STATIC_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/file_fingerprint.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/events/event_log.h"
#include "controlplane/registry/registry_sources.h"
#include "controlplane/registry/snapshot.h"

namespace byrnie {

// Feeds the registry, as one of its sources, from a file that may change at any time. Lives on one
// thread; reads the disk. The pointers outlive it.
class StaticFile {
 public:
  // Reads the file for the first time and publishes it. InvalidArgument, NotFound and the like name
  // the path, the place in it, and what to do. `events` may be null.
  static absl::StatusOr<std::unique_ptr<StaticFile>> Create(const std::string& path,
                                                            const std::string& trust_domain,
                                                            RegistrySources* sources,
                                                            EventLog* events, Logger* logger,
                                                            MetricRegistry* metrics);

  // Looks whether the file is another one than before (inode, size, time of change) and if so reads
  // and publishes it; to be called about twice a second. A file that cannot be read or is invalid
  // is logged and counted once, and what was in force stays in force. So it is with one without
  // entries where one before had some, as that of a template that rendered to nothing, unless it
  // says "empty": true; what was before that is then forgotten. True when something was published.
  bool Poll();

  // From now on it counts as if one before had entries, unless that of now says that none are meant
  // to be: another process knows of one. InvalidArgument where it has none and does not say that.
  absl::Status SetHadEntries();
  // Whether this one has any, or one before since a file has last said that none are meant to be.
  bool had_entries() const { return had_entries_; }

  // An error of what is in it, with its path.
  absl::Status InFile(const absl::Status& status) const;

  // Why the file as it is now is not what is in force; OK: it is.
  const absl::Status& state() const { return state_; }

 private:
  StaticFile(std::string path, std::string trust_domain, RegistrySources* sources, EventLog* events,
             Logger* logger, MetricRegistry* metrics);
  void Tell(const RegistryDiff& addresses, const RegistryDiff& policies) const;
  absl::Status Load();
  absl::Status Publish(absl::string_view text);

  const std::string path_;
  const std::string trust_domain_;
  RegistrySources* const sources_;  // Not owned.
  EventLog* const events_;          // Not owned; null: nobody is told.
  Logger* const logger_;            // Not owned.
  Counter* const reloads_ok_;
  Counter* const reloads_rejected_;
  // Of the last try, good or bad; absent: the file was not there.
  absl::optional<FileFingerprint> seen_;
  absl::Status state_;
  bool had_entries_ = false;
  // What is in force of it is nothing, and it says that this is meant, or does not.
  bool meant_empty_ = false, empty_by_chance_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_STATIC_FILE_H_
