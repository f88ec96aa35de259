#ifndef BYRNIE_DEPLOY_REDIRECT_WATCH_H_
#define BYRNIE_DEPLOY_REDIRECT_WATCH_H_

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/telemetry/log.h"

namespace byrnie {

// What Watch looks after; one implementation is the kernel's, another the tests'.
class WatchedRules {
 public:
  virtual ~WatchedRules() = default;
  // Empty when everything is as it should be; else a line for each difference.
  virtual absl::StatusOr<std::string> Difference() = 0;
  // Makes everything as it should be.
  virtual absl::Status Apply() = 0;
  // Rejects all TCP of the pod but the proxy's own and makes the pod not ready, until Apply; may be
  // repeated.
  virtual absl::Status Close() = 0;
  // Keeps a copy of the rules that nobody else can change, until this process ends.
  virtual absl::Status Hold() = 0;
};

// What becomes of rules that are not as they should be.
enum class OnDrift { kReport, kRepair, kFailClosed };
// "report", "repair", "fail-closed". InvalidArgument lists them.
absl::StatusOr<OnDrift> ParseOnDrift(absl::string_view text);

// Decides, once per check, what to do about the rules, and counts. Lives on one thread.
//
// A difference is one drift for as long as it stays the same. Rules that cannot be repaired are
// closed, and tried again at each check.
class Watch {
 public:
  struct Counts {
    uint64_t checks = 0;
    uint64_t drifts = 0;
    uint64_t repairs = 0;
    uint64_t failures = 0;  // Checks or repairs that the kernel refused.
    bool in_place = false;  // At the end of the last check.
  };

  // `rules` and `logger` are borrowed. `on_change` hears of new counts (beside checks); optional.
  Watch(WatchedRules* rules, OnDrift on_drift, Logger* logger,
        absl::AnyInvocable<void(const Counts& counts)> on_change);

  // Once, before the first check.
  void Start();
  void Check();
  const Counts& counts() const { return counts_; }

 private:
  void OnDifference(const std::string& difference);
  void Repair();
  void Close();
  void Failed(absl::string_view message, const absl::Status& status);

  WatchedRules* const rules_;  // Not owned.
  const OnDrift on_drift_;
  Logger* const logger_;  // Not owned.
  absl::AnyInvocable<void(const Counts& counts)> on_change_;
  Counts counts_;
  std::string last_difference_;
  std::string last_failure_;
};

// The counts in Prometheus' text format, for a file that a node's collector reads.
std::string WatchMetricsText(const Watch::Counts& counts);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_WATCH_H_
