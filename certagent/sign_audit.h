#ifndef BYRNIE_CERTAGENT_SIGN_AUDIT_H_
#define BYRNIE_CERTAGENT_SIGN_AUDIT_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"

namespace byrnie {

// What the key was used for, for whoever reads the log later: a line for every signature refused,
// and one for each minute in which something was signed. A proxy that asks for nonsense as fast as
// it can does not fill the log: after kLinesPerMinute refusals in a minute the others are only
// counted, and the minute's line says how many. Lives on the agent's loop.
class SignAudit {
 public:
  static constexpr int kLinesPerMinute = 60;

  SignAudit(EventLoop* loop, Logger* log);
  SignAudit(const SignAudit&) = delete;
  SignAudit& operator=(const SignAudit&) = delete;

  // After a request: what was asked for, and the answer.
  void Record(absl::string_view leaf_fingerprint_hex, uint32_t scheme, size_t input_size,
              const absl::Status& answer);

 private:
  void Summarize();

  Logger* const log_;  // Not owned.
  // Runs a minute after the first request of a minute, so that a quiet agent does nothing.
  const std::unique_ptr<EventLoop::Timer> minute_;
  bool counting_ = false;
  int64_t signed_ = 0;
  int64_t refused_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_SIGN_AUDIT_H_
