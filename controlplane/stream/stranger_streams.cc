#include "controlplane/stream/stranger_streams.h"

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/net/socket_address.h"
#include "controlplane/peer/peer_identity.h"

namespace byrnie {
namespace {

constexpr char kRefused[] = "byrnie_controlplane_stranger_streams_refused_total";
constexpr char kRefusedHelp[] =
    "Streams open to everybody that were refused because there were too many, by whose.";
constexpr size_t kIpv6PrefixBytes = 8;

// What counts as one address.
std::string SourceOf(const std::string& address) {
  const absl::StatusOr<SocketAddress> parsed = SocketAddress::Parse(address);
  if (!parsed.ok()) return address;
  const std::string bytes = parsed->ip().ToBytes();
  return parsed->ip().is_v4() ? bytes : bytes.substr(0, kIpv6PrefixBytes);
}

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
  const std::string address = PeerAddress(grpc_peer);
  Places::Full full = Places::Full::kAll;
  std::unique_ptr<Places::Place> place = places_.Take(SourceOf(address), &full);
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
                                        {"address", address},
                                        {"error", refused.message()},
                                        {"not_logged", *unsaid}});
  }
  return refused;
}

}  // namespace byrnie
