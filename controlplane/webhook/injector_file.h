#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_INJECTOR_FILE_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_INJECTOR_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/file_fingerprint.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {

// The file of --injector_config, which may change at any time; one that cannot be read or is
// invalid is logged and counted once, and what it said before stays in force. Lives on one thread;
// reads the disk.
class InjectorFile {
 public:
  // Reads it for the first time; what it does not say is `base`'s, whose trust domain it may not
  // change: pods would look for another mesh. Where the control plane `publishes_roots` they are in
  // the ConfigMap that `base` names, and in no other: pods would wait for that for ever. An empty
  // path is a file that says nothing. Errors name the flag and the file. The pointers outlive it.
  static absl::StatusOr<std::unique_ptr<InjectorFile>> Create(std::string path, InjectorConfig base,
                                                              bool publishes_roots, Logger* logger,
                                                              MetricRegistry* metrics);
  InjectorFile(const InjectorFile&) = delete;
  InjectorFile& operator=(const InjectorFile&) = delete;

  // Looks at the file, about twice a second; true when config() is another one.
  bool Poll();

  // What is in force.
  const std::shared_ptr<const InjectorConfig>& config() const { return config_; }
  // SHA-256 of its text, lower-case hexadecimal; empty: there is no file.
  const std::string& digest() const { return digest_; }
  // Why the file as it is now is not what is in force; OK: it is.
  const absl::Status& state() const { return state_; }

 private:
  InjectorFile(std::string path, InjectorConfig base, bool publishes_roots, Logger* logger,
               MetricRegistry* metrics);
  // `digest` is set where there is a file that says what is returned.
  absl::StatusOr<InjectorConfig> Read(std::string* digest) const;

  const std::string path_;
  const InjectorConfig base_;
  const bool publishes_roots_;
  Logger* const logger_;  // Not owned.
  Counter* const reads_ok_;
  Counter* const reads_rejected_;
  absl::optional<FileFingerprint> seen_;
  std::shared_ptr<const InjectorConfig> config_;
  std::string digest_;
  absl::Status state_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_INJECTOR_FILE_H_
