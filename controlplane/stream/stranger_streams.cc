#include "controlplane/stream/stranger_streams.h"

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/grpc/peer_address.h"

namespace byrnie {
namespace {

constexpr char kRefused[] = "byrnie_controlplane_stranger_streams_refused_total";
constexpr char kRefusedHelp[] =
    "Streams open to everybody that were refused because there were too many, by whose.";

}  // namespace

constexpr size_t StrangerStreams::kOfOneAddress;
constexpr size_t StrangerStreams::kOfAll;
constexpr absl::Duration StrangerStreams::kRetryAfter;

StrangerStreams::StrangerStreams(const Clock* clock, Logger* logger, MetricRegistry* metrics)
    : clock_(clock),
      logger_(logger),
      refused_address_(metrics->AddCounter(kRefused, kRefusedHelp, {{"limit", "address"}})),
      refused_all_(metrics->AddCounter(kRefused, kRefusedHelp, {{"limit", "all"}})),
      places_(kOfOneAddress, kOfAll) {}

absl::StatusOr<std::unique_ptr<Places::Place>> StrangerStreams::Admit(
    absl::string_view service, const std::string& grpc_peer) {
  Places::Full full = Places::Full::kAll;
  std::unique_ptr<Places::Place> place = places_.Take(PeerSource(grpc_peer), &full);
  if (place != nullptr) return place;
  const bool own = full == Places::Full::kHolder;
  (own ? refused_address_ : refused_all_)->Increment();
  absl::Status refused = absl::ResourceExhaustedError(
      own ? absl::StrCat("your address has ", kOfOneAddress,
                         " streams open that need no proof; close some, or try again in ",
                         absl::FormatDuration(kRetryAfter))
          : absl::StrCat("there are ", kOfAll, " streams open that need no proof; try again in ",
                         absl::FormatDuration(kRetryAfter)));
  SetRetryAfter(&refused, kRetryAfter);
  const absl::optional<uint64_t> unsaid = refusals_said_.Admit(clock_->MonotonicNow());
  if (unsaid.has_value()) {
    logger_->Warning("stream refused", {{"service", service},
                                        {"address", PeerAddress(grpc_peer)},
                                        {"error", refused.message()},
                                        {"not_logged", *unsaid}});
  }
  return refused;
}

}  // namespace byrnie
