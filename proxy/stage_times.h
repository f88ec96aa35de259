#ifndef BYRNIE_PROXY_STAGE_TIMES_H_
#define BYRNIE_PROXY_STAGE_TIMES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// How long each stage of one connection took. A value of a few bytes, kept for every connection.
// Times are those of the connection's loop, which stand still within a turn: a stage that did not
// have to wait for anything takes zero.
class StageTimes {
 public:
  enum Stage : uint8_t {
    // One after the other, each from the end of the one before. A connection goes through some of
    // them, in the order of its kind.
    kDestination,  // From the accept until it is known where it is to go.
    kPolicy,       // Until it was decided: policy inbound, routing (and asking the agent) outbound.
    kDial,         // Until a TCP connection was made.
    kTls,          // Until the peer was verified.
    kTunnel,       // Until the far proxy answered the CONNECT.
    // From the accept.
    kFirstSent,      // Until the upstream took the first byte.
    kFirstReceived,  // Until the downstream took the first byte.
  };
  static constexpr size_t kStages = 7;
  static constexpr size_t kSetupStages = 5;

  // "destination", "policy", "dial", "tls", "tunnel", "first_sent", "first_received".
  static absl::string_view NameOf(Stage stage);
  // "destination_ms" and so on: as a field of JSON.
  static absl::string_view FieldOf(Stage stage);

  StageTimes() = default;
  explicit StageTimes(absl::Duration accepted) : accepted_(accepted), last_(accepted) {}

  // `stage` of the set-up has just been completed: it took the time since the last one. A stage
  // that is gone through again grows. Times do not run backwards: an earlier `now` counts as the
  // last.
  void Complete(Stage stage, absl::Duration now);
  // One of the first bytes, once.
  void Note(Stage stage, absl::Duration now);
  // The connection is given up in the stage it is in: the first of destination, policy and dial
  // that has not been completed.
  void GiveUp(absl::Duration now);

  // None: the connection did not get there, or its kind has no such stage.
  absl::optional<absl::Duration> Get(Stage stage) const;
  bool Completed(Stage stage) const { return micros_[stage] != kNone; }
  // What the stages of the set-up took together.
  absl::Duration SetUp() const;
  absl::Duration accepted() const { return accepted_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  // Beyond an hour the exact time does not matter.
  static uint32_t Micros(absl::Duration duration);

  std::array<uint32_t, kStages> micros_ = {kNone, kNone, kNone, kNone, kNone, kNone, kNone};
  absl::Duration accepted_;
  absl::Duration last_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_STAGE_TIMES_H_
