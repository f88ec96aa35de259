#include "certagent/flow_messages.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/net/socket_address.h"

namespace byrnie {
namespace {

using flow::v1::Edge;
using link::v1::FlowEdge;

constexpr int kMaxEdges = 256;

absl::Status Bad(const char* field) {
  return absl::InvalidArgumentError(absl::StrCat("a flow report of the proxy: ", field));
}

Edge::Path ToFlow(FlowEdge::Path path) {
  switch (path) {
    case FlowEdge::PATH_HBONE:
      return Edge::PATH_HBONE;
    case FlowEdge::PATH_DIRECT:
      return Edge::PATH_DIRECT;
    case FlowEdge::PATH_PLAINTEXT:
      return Edge::PATH_PLAINTEXT;
    case FlowEdge::PATH_PROBE:
      return Edge::PATH_PROBE;
    default:
      return Edge::PATH_UNSPECIFIED;
  }
}

Edge::Verdict ToFlow(FlowEdge::Verdict verdict) {
  switch (verdict) {
    case FlowEdge::VERDICT_ALLOWED:
      return Edge::VERDICT_ALLOWED;
    case FlowEdge::VERDICT_DENIED:
      return Edge::VERDICT_DENIED;
    case FlowEdge::VERDICT_FAILED:
      return Edge::VERDICT_FAILED;
    default:
      return Edge::VERDICT_UNSPECIFIED;
  }
}

void ToFlow(int64_t micros, google::protobuf::Timestamp* out) {
  const absl::Time time = absl::FromUnixMicros(micros);
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::Status ToFlow(const FlowEdge& in, Edge* out) {
  switch (in.direction()) {
    case FlowEdge::DIRECTION_INBOUND:
      out->set_side(Edge::SIDE_DESTINATION);
      break;
    case FlowEdge::DIRECTION_OUTBOUND:
      out->set_side(Edge::SIDE_SOURCE);
      break;
    default:
      return Bad("direction");
  }
  out->set_path(ToFlow(in.path()));
  if (out->path() == Edge::PATH_UNSPECIFIED) return Bad("path");
  out->set_verdict(ToFlow(in.verdict()));
  if (out->verdict() == Edge::VERDICT_UNSPECIFIED) return Bad("verdict");
  if (!in.source_address().empty()) {
    const absl::StatusOr<IpAddress> source = IpAddress::FromBytes(in.source_address());
    if (!source.ok()) return Bad("source_address");
    out->set_source_address(source->ToString());
  }
  const absl::StatusOr<IpAddress> destination = IpAddress::FromBytes(in.destination_address());
  if (!destination.ok()) return Bad("destination_address");
  if (in.destination_port() == 0 || in.destination_port() > 65535) return Bad("destination_port");
  out->set_destination_address(
      SocketAddress(*destination, static_cast<uint16_t>(in.destination_port())).ToString());
  out->set_peer_spiffe_id(in.peer_identity());
  out->set_service(in.service());
  out->set_reason(in.reason());
  out->set_opened(in.opened());
  out->set_closed(in.closed());
  out->set_bytes_sent(in.bytes_sent());
  out->set_bytes_received(in.bytes_received());
  // Beyond it a Timestamp has no text; and no clock is there.
  constexpr int64_t kLatest = 253402300799 * int64_t{1000000};
  if (in.first_seen_us() < 0 || in.first_seen_us() > kLatest) return Bad("first_seen_us");
  if (in.last_seen_us() < 0 || in.last_seen_us() > kLatest) return Bad("last_seen_us");
  ToFlow(in.first_seen_us(), out->mutable_first_seen());
  ToFlow(in.last_seen_us(), out->mutable_last_seen());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<flow::v1::ReportRequest> ToReportRequest(const link::v1::FlowReport& report) {
  if (report.instance() == 0) return Bad("instance");
  if (report.edges_size() > kMaxEdges) return Bad("too many edges");
  flow::v1::ReportRequest request;
  request.set_instance(report.instance());
  request.set_left_out(report.left_out());
  for (const FlowEdge& edge : report.edges()) RETURN_IF_ERROR(ToFlow(edge, request.add_edges()));
  return request;
}

}  // namespace byrnie
