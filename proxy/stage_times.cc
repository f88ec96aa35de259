#include "proxy/stage_times.h"

#include <algorithm>

#include "absl/strings/strip.h"

namespace byrnie {

absl::string_view StageTimes::FieldOf(Stage stage) {
  switch (stage) {
    case kDestination:
      return "destination_ms";
    case kPolicy:
      return "policy_ms";
    case kDial:
      return "dial_ms";
    case kTls:
      return "tls_ms";
    case kTunnel:
      return "tunnel_ms";
    case kFirstSent:
      return "first_sent_ms";
    case kFirstReceived:
      return "first_received_ms";
  }
  return "unknown_ms";
}

absl::string_view StageTimes::NameOf(Stage stage) {
  return absl::StripSuffix(FieldOf(stage), "_ms");
}

uint32_t StageTimes::Micros(absl::Duration duration) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Microseconds(duration), 0, kNone - 1));
}

void StageTimes::Complete(Stage stage, absl::Duration now) {
  const uint64_t before = Completed(stage) ? micros_[stage] : 0;
  micros_[stage] =
      static_cast<uint32_t>(std::min<uint64_t>(before + Micros(now - last_), kNone - 1));
  last_ = std::max(last_, now);
}

void StageTimes::Note(Stage stage, absl::Duration now) {
  if (!Completed(stage)) micros_[stage] = Micros(now - accepted_);
}

void StageTimes::GiveUp(absl::Duration now) {
  for (const Stage stage : {kDestination, kPolicy, kDial}) {
    if (Completed(stage)) continue;
    Complete(stage, now);
    return;
  }
  // Dialled, but the other end never answered.
  Complete(kTunnel, now);
}

absl::optional<absl::Duration> StageTimes::Get(Stage stage) const {
  if (!Completed(stage)) return absl::nullopt;
  return absl::Microseconds(micros_[stage]);
}

absl::Duration StageTimes::SetUp() const {
  absl::Duration total;
  for (size_t stage = 0; stage < kSetupStages; ++stage) {
    if (micros_[stage] != kNone) total += absl::Microseconds(micros_[stage]);
  }
  return total;
}

}  // namespace byrnie
