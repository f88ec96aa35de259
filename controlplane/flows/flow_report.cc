#include "controlplane/flows/flow_report.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

using flow::v1::Edge;

constexpr int kMaxEdges = 256;
constexpr size_t kMaxText = 512;
// More than one proxy process ever counts of what is alike: 50 000 connections a second for ten
// years, a terabit a second for a week. Sums of honest ones stay far from what 64 bits hold.
constexpr uint64_t kMaxConnections = uint64_t{1} << 44;
constexpr uint64_t kMaxBytes = uint64_t{1} << 56;

bool IsPlainText(absl::string_view text) {
  return text.size() <= kMaxText && absl::c_all_of(text, [](char c) {
           return absl::ascii_isprint(static_cast<unsigned char>(c));
         });
}

absl::StatusOr<ReportedFlow> ParseEdge(const Edge& edge, const std::string& place, absl::Time now,
                                       absl::Duration clock_offset) {
  const auto bad = [&place](const char* field, absl::string_view what) {
    return InvalidField(absl::StrCat(place, ".", field), what);
  };
  ReportedFlow flow;
  switch (edge.side()) {
    case Edge::SIDE_DESTINATION:
      flow.side = ReportedFlow::Side::kDestination;
      break;
    case Edge::SIDE_SOURCE:
      flow.side = ReportedFlow::Side::kSource;
      break;
    default:
      return bad("side", "is none of destination and source");
  }
  switch (edge.path()) {
    case Edge::PATH_HBONE:
      flow.path = ReportedFlow::Path::kHbone;
      break;
    case Edge::PATH_DIRECT:
      flow.path = ReportedFlow::Path::kDirect;
      break;
    case Edge::PATH_PLAINTEXT:
      flow.path = ReportedFlow::Path::kPlaintext;
      break;
    case Edge::PATH_PROBE:
      flow.path = ReportedFlow::Path::kProbe;
      break;
    default:
      return bad("path", "is not known");
  }
  switch (edge.verdict()) {
    case Edge::VERDICT_ALLOWED:
      flow.verdict = ReportedFlow::Verdict::kAllowed;
      break;
    case Edge::VERDICT_DENIED:
      flow.verdict = ReportedFlow::Verdict::kDenied;
      break;
    case Edge::VERDICT_FAILED:
      flow.verdict = ReportedFlow::Verdict::kFailed;
      break;
    default:
      return bad("verdict", "is not known");
  }
  if (!edge.peer_spiffe_id().empty()) {
    absl::StatusOr<SpiffeId> peer = SpiffeId::Parse(edge.peer_spiffe_id());
    if (!peer.ok()) return bad("peer_spiffe_id", peer.status().message());
    flow.peer = *std::move(peer);
  }
  if (!edge.source_address().empty()) {
    const absl::StatusOr<IpAddress> source = IpAddress::Parse(edge.source_address());
    if (!source.ok()) return bad("source_address", source.status().message());
    flow.source = *source;
  }
  const absl::StatusOr<SocketAddress> destination =
      SocketAddress::Parse(edge.destination_address());
  if (!destination.ok()) return bad("destination_address", destination.status().message());
  if (destination->port() == 0) return bad("destination_address", "has no port");
  flow.destination = *destination;
  if (!IsPlainText(edge.service()) || absl::c_linear_search(edge.service(), ' ')) {
    return bad("service", "is no \"namespace/hostname\"");
  }
  flow.service = edge.service();
  if (!IsPlainText(edge.reason())) return bad("reason", "is no reason of the access log");
  flow.reason = edge.reason();
  for (const auto& [field, count, most] :
       {std::tuple("opened", edge.opened(), kMaxConnections),
        std::tuple("closed", edge.closed(), kMaxConnections),
        std::tuple("bytes_sent", edge.bytes_sent(), kMaxBytes),
        std::tuple("bytes_received", edge.bytes_received(), kMaxBytes)}) {
    if (count > most) return bad(field, absl::StrCat(count, " is more than can have been"));
  }
  flow.opened = edge.opened();
  flow.closed = std::min(edge.closed(), edge.opened());
  flow.bytes_sent = edge.bytes_sent();
  flow.bytes_received = edge.bytes_received();
  if (!edge.has_first_seen()) return bad("first_seen", "is missing");
  if (!edge.has_last_seen()) return bad("last_seen", "is missing");
  flow.counted_since = FromProto(edge.first_seen());
  // Neither is a time that no Timestamp can say, whatever three of them say together.
  const auto at_ours = [clock_offset](absl::Time time, absl::Time latest) {
    return std::min(std::max(time - clock_offset, absl::UnixEpoch()), latest);
  };
  flow.last_seen = at_ours(FromProto(edge.last_seen()), now);
  flow.first_seen = at_ours(flow.counted_since, flow.last_seen);
  return flow;
}

}  // namespace

absl::StatusOr<std::vector<ReportedFlow>> ParseFlowReport(const flow::v1::ReportRequest& request,
                                                          absl::Time now) {
  if (request.instance() == 0) return InvalidField("instance", "is missing");
  if (request.edges_size() > kMaxEdges) {
    return InvalidField("edges",
                        absl::StrCat("are ", request.edges_size(), ", more than ", kMaxEdges));
  }
  // What a node with a slow clock has just denied is no longer ago for that.
  absl::Duration clock_offset = absl::ZeroDuration();
  if (request.has_sent_at()) clock_offset = FromProto(request.sent_at()) - now;
  std::vector<ReportedFlow> flows;
  flows.reserve(static_cast<size_t>(request.edges_size()));
  for (int i = 0; i < request.edges_size(); ++i) {
    ASSIGN_OR_RETURN(ReportedFlow flow, ParseEdge(request.edges(i), absl::StrCat("edges[", i, "]"),
                                                  now, clock_offset));
    flows.push_back(std::move(flow));
  }
  return flows;
}

}  // namespace byrnie
