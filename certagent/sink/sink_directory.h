#ifndef BYRNIE_CERTAGENT_SINK_SINK_DIRECTORY_H_
#define BYRNIE_CERTAGENT_SINK_SINK_DIRECTORY_H_

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// A directory where an application finds a certificate, its key and the roots as files, laid out as
// Kubernetes lays out mounted secrets:
//
//   tls.crt, tls.key, ca.crt → ..data/…      what the application opens
//   ..data → ..byrnie-N                       replaced by one rename
//   ..byrnie-N/tls.crt, tls.key, ca.crt       written and flushed before
//
// so a reader that holds ..data open, or resolves it once, never pairs a new certificate with an
// old key, and a process killed at any moment, or a power cut, leaves the old content or the new.
// What has been replaced stays until RemoveReplaced, for a reader that is on its way into it.
//
// Blocking: never on a loop. One object for a directory; on one thread at a time.
class SinkDirectory {
 public:
  struct Options {
    // Made, with its permissions, when it is missing; its parent is there.
    std::string path;
    // Absent: of this process. Giving files away takes CAP_CHOWN.
    absl::optional<uid_t> owner;
    // Present: of this group, which may read them, too (0640 in 0750 instead of 0600 in 0700).
    absl::optional<gid_t> group;
  };
  struct Content {
    std::string certificates_pem;
    SecretBytes key_pem;
    std::string roots_pem;
  };

  explicit SinkDirectory(Options options) : options_(std::move(options)) {}

  // Replaces the content; on any error what was there before stays. ResourceExhausted: the disk is
  // full; PermissionDenied: it is read-only, not ours, or others may write to the directory;
  // FailedPrecondition: a file of another maker has one of the names; Unavailable: anything else.
  absl::Status Publish(const Content& content);

  // Removes what is not in force: replaced contents, and what a process that was killed left.
  absl::Status RemoveReplaced();

 private:
  mode_t file_mode() const { return options_.group.has_value() ? 0640 : 0600; }
  mode_t directory_mode() const { return options_.group.has_value() ? 0750 : 0700; }

  absl::Status Own(int fd, mode_t mode, absl::string_view name) const;
  absl::Status WriteFile(int directory, const std::string& name, absl::string_view bytes) const;
  absl::Status Fill(int directory, const Content& content) const;

  const Options options_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_SINK_SINK_DIRECTORY_H_
