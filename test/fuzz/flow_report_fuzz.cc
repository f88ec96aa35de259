// What a proxy says of connections, through its agent to the control plane: a proxy that was taken
// over sends any bytes, and its agent passes on what it understands.

#include <cstdlib>
#include <string>
#include <vector>

#include "byrnie/flow/v1/flow.pb.h"
#include "byrnie/link/v1/link.pb.h"
#include "certagent/flow_messages.h"
#include "controlplane/flows/flow_report.h"
#include "google/protobuf/stubs/logging.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// The first byte of an input.
enum Kind : char { kLink = 0, kFlow = 1 };

void Use(const flow::v1::ReportRequest& request) {
  const absl::Time now = absl::FromUnixSeconds(1700000000);
  const absl::StatusOr<std::vector<ReportedFlow>> flows = ParseFlowReport(request, now);
  if (!flows.ok()) return;
  for (const ReportedFlow& flow : *flows) {
    if (flow.closed > flow.opened || flow.last_seen > now || flow.first_seen > flow.last_seen ||
        flow.first_seen < absl::UnixEpoch() || flow.destination.port() == 0 || flow.Key().empty()) {
      std::abort();
    }
    // They go to terminals and pages.
    for (const char c : flow.reason + flow.service) {
      if (c < 0x20 || c == 0x7f) std::abort();
    }
  }
}

link::v1::FlowReport Report() {
  link::v1::FlowReport report;
  report.set_instance(7);
  link::v1::FlowEdge* edge = report.add_edges();
  edge->set_direction(link::v1::FlowEdge::DIRECTION_INBOUND);
  edge->set_path(link::v1::FlowEdge::PATH_HBONE);
  edge->set_verdict(link::v1::FlowEdge::VERDICT_DENIED);
  edge->set_peer_identity("spiffe://td/ns/demo/sa/a");
  edge->set_source_address(std::string("\x0a\x00\x00\x09", 4));
  edge->set_destination_address(std::string("\xfd\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16));
  edge->set_destination_port(8080);
  edge->set_reason("policy-deny demo/x");
  edge->set_opened(2);
  edge->set_closed(1);
  edge->set_first_seen_us(1600000000000000);
  edge->set_last_seen_us(1600000001000000);
  return report;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const link::v1::FlowReport report = Report();
  return {std::string(1, kLink) + report.SerializeAsString(),
          std::string(1, kFlow) + ToReportRequest(report)->SerializeAsString()};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  google::protobuf::SetLogHandler(nullptr);
  if (size == 0) return 0;
  const char* const bytes = reinterpret_cast<const char*>(data) + 1;
  const int left = static_cast<int>(size) - 1;
  if (data[0] == byrnie::kLink) {
    byrnie::link::v1::FlowReport report;
    if (!report.ParseFromArray(bytes, left)) return 0;
    const auto request = byrnie::ToReportRequest(report);
    if (request.ok()) byrnie::Use(*request);
  } else {
    byrnie::flow::v1::ReportRequest request;
    if (request.ParseFromArray(bytes, left)) byrnie::Use(request);
  }
  return 0;
}
