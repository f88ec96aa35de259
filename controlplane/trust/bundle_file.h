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
// something else, and tried again until that succeeds. Write() and Keep() are of one thread, and
// wait for the disk; what is only asked is thread-safe. The pointers outlive it.
class BundleFile {
 public:
  // How often the file is looked at, and tried again, while the roots stay as they are.
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  BundleFile(std::string path, const Authority* authority, const Clock* clock, Logger* logger)
      : path_(std::move(path)), authority_(authority), clock_(clock), logger_(logger) {}
  BundleFile(const BundleFile&) = delete;
  BundleFile& operator=(const BundleFile&) = delete;

  // Writes it where it is not as it should be. Errors as WriteFileAtomically.
  absl::Status Write();
  // The same again and again, with a line in the log for what goes wrong.
  void Keep();

  // Why the file is not as it should be, as far as was seen last: "cannot write --trust_bundle_out
  // PATH: No space left on device".
  absl::Status state() const;
  // Why whoever goes by the file may not trust the root of this id; empty: nothing is wrong. An
  // empty id is none, and asks for what state() says.
  std::string WhyWithout(absl::string_view root) const;

 private:
  // Whether the file has `pem`; reads it where it is another one than at the last look.
  bool Holds(const std::string& pem);
  // `written` says whether it had to be written.
  absl::Status WriteRoots(bool* written);

  const std::string path_;
  const Authority* const authority_;  // Not owned.
  const Clock* const clock_;          // Not owned.
  Logger* const logger_;              // Not owned.
  // Monotonic.
  absl::Duration next_look_ = -absl::InfiniteDuration();
  // What it was looked at for last.
  AuthoritySnapshotPtr looked_for_;
  // The file when it held `held_`.
  absl::optional<FileFingerprint> seen_;
  std::string held_;
  RepeatFilter failures_said_, others_said_;
  mutable absl::Mutex mu_;
  absl::Status state_ ABSL_GUARDED_BY(mu_);
  // The roots that it was last seen or written with; null: none.
  AuthoritySnapshotPtr has_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_BUNDLE_FILE_H_
