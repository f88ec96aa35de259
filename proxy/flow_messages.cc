#include "proxy/flow_messages.h"

namespace byrnie {
namespace {

using link::v1::FlowEdge;

FlowEdge::Path ToLink(FlowKeyView::Path path) {
  switch (path) {
    case FlowKeyView::Path::kHbone:
      return FlowEdge::PATH_HBONE;
    case FlowKeyView::Path::kDirect:
      return FlowEdge::PATH_DIRECT;
    case FlowKeyView::Path::kPlaintext:
      return FlowEdge::PATH_PLAINTEXT;
    case FlowKeyView::Path::kProbe:
      return FlowEdge::PATH_PROBE;
  }
  return FlowEdge::PATH_UNSPECIFIED;
}

FlowEdge::Verdict ToLink(AccessRecord::Result verdict) {
  switch (verdict) {
    case AccessRecord::Result::kAllowed:
      return FlowEdge::VERDICT_ALLOWED;
    case AccessRecord::Result::kDenied:
      return FlowEdge::VERDICT_DENIED;
    case AccessRecord::Result::kFailed:
      return FlowEdge::VERDICT_FAILED;
  }
  return FlowEdge::VERDICT_UNSPECIFIED;
}

}  // namespace

void ToLink(const Flow& flow, FlowEdge* out) {
  const FlowKeyView& key = flow.key->view();
  const bool inbound = key.direction == AccessRecord::Direction::kInbound;
  out->set_direction(inbound ? FlowEdge::DIRECTION_INBOUND : FlowEdge::DIRECTION_OUTBOUND);
  out->set_path(ToLink(key.path));
  out->set_verdict(ToLink(key.verdict));
  out->set_peer_identity(std::string(key.peer));
  if (inbound) out->set_source_address(flow.source.ToBytes());
  out->set_destination_address(key.destination.ip().ToBytes());
  out->set_destination_port(key.destination.port());
  out->set_service(std::string(key.service));
  out->set_reason(flow.reason);
  out->set_opened(flow.opened);
  out->set_closed(flow.closed);
  out->set_bytes_sent(flow.bytes_sent);
  out->set_bytes_received(flow.bytes_received);
  out->set_first_seen_us(absl::ToUnixMicros(flow.first_seen));
  out->set_last_seen_us(absl::ToUnixMicros(flow.last_seen));
}

}  // namespace byrnie
