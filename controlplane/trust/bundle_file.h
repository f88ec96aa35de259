#ifndef BYRNIE_CONTROLPLANE_TRUST_BUNDLE_FILE_H_
#define BYRNIE_CONTROLPLANE_TRUST_BUNDLE_FILE_H_

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/file_fingerprint.h"
#include "common/telemetry/log.h"
#include "common/telemetry/repeat_filter.h"
#include "controlplane/ca/authority.h"

namespace byrnie {

// The roots, PEM: what agents, operators and meshed namespaces are to trust.
std::string RootsPem(const AuthoritySnapshot& snapshot);

// The file of --trust_bundle_out, by which agents that start and operators go. It is kept as the
// authority has its roots: written when they change, when it is gone and when somebody has written
// something else, and tried again until that succeeds. Where somebody else keeps writing a bundle
// of his own there, as another control plane with the same path does, that is said, and it is
// written less often, so that the two do not fight each second. Write() and Keep() are of one
// thread, and wait for the disk; what is only asked is thread-safe. The pointers outlive it.
class BundleFile {
 public:
  // How often the file is looked at, and tried again, while the roots stay as they are.
  static constexpr absl::Duration kInterval = absl::Seconds(1);
  // The same while somebody else writes it.
  static constexpr absl::Duration kContestedInterval = absl::Seconds(10);
  // So long nobody else has written it when it is believed that nobody does any more.
  static constexpr absl::Duration kUndisturbed = absl::Seconds(30);
  // More bundles of somebody else's without such a time are no accident.
  static constexpr int kAccidents = 3;

  BundleFile(std::string path, const Authority* authority, const Clock* clock, Logger* logger)
      : path_(std::move(path)), authority_(authority), clock_(clock), logger_(logger) {}
  BundleFile(const BundleFile&) = delete;
  BundleFile& operator=(const BundleFile&) = delete;

  // At the start: writes it where it is not as it should be, and clears away what processes that
  // were killed while they wrote it have left. Errors as WriteFileAtomically.
  absl::Status Write();
  // The same again and again, with a line in the log for what goes wrong.
  void Keep();

  // Why the file is not as it should be, as far as was seen last: "cannot write --trust_bundle_out
  // PATH: No space left on device". FailedPrecondition: somebody else writes it, too.
  absl::Status state() const;
  // Why whoever goes by the file may not trust the root of this id; empty: nothing is wrong. An
  // empty id is none, and asks for what state() says.
  std::string WhyWithout(absl::string_view root) const;

 private:
  enum class Found { kOurs, kAnothers, kNothing };
  // What is in the file, which is to have `pem`; reads it where it is another one than at the last
  // look. kAnothers is a bundle that has taken the place of ours.
  Found Look(const std::string& pem);
  // `written` says whether it had to be written.
  absl::Status WriteRoots(bool* written);
  // Counts what somebody else has written in the place of ours, as far as it is no accident.
  void NoteOthers(Found found, absl::Duration now);
  // Says in the log what has come of a turn.
  void Tell(const absl::Status& status, bool failed, bool put_back, absl::Duration now);

  const std::string path_;
  const Authority* const authority_;  // Not owned.
  const Clock* const clock_;          // Not owned.
  Logger* const logger_;              // Not owned.
  // Monotonic.
  absl::Duration next_look_ = -absl::InfiniteDuration();
  // What it was looked at for last.
  AuthoritySnapshotPtr looked_for_;
  // What was there of ours last, and the file when it was seen to hold that.
  std::string held_;
  absl::optional<FileFingerprint> seen_;
  // Bundles of somebody else's that were found in the place of ours, and when the last was;
  // monotonic.
  int others_ = 0;
  absl::Duration other_at_;
  // Ours has stood there since the last of them was counted. Otherwise nobody has written again:
  // what is found there is what could not be replaced.
  bool stood_ = false;
  RepeatFilter failures_said_, others_said_;
  mutable absl::Mutex mu_;
  absl::Status state_ ABSL_GUARDED_BY(mu_);
  // The roots that it was last seen or written with; null: none.
  AuthoritySnapshotPtr has_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_BUNDLE_FILE_H_
