// What agents send on their streams: requests for discovery, one after the other, while the
// registry changes; and acknowledgements of trust bundles. Whatever comes, the stream answers
// within bounds, or ends.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "byrnie/ca/v1/ca.pb.h"
#include "controlplane/discovery/delta_subscriptions.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/snapshot.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "google/protobuf/stubs/logging.h"
#include "istio/workload/workload.pb.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

using Request = DeltaSubscriptions::Request;
using Response = DeltaSubscriptions::Response;

// The first byte of an input.
enum Kind : char { kDiscovery = 0, kAcknowledgement = 1 };

constexpr char kAddress[] = "type.googleapis.com/istio.workload.Address";
constexpr char kAuthorization[] = "type.googleapis.com/istio.security.Authorization";
constexpr int kMaxRequests = 64;

void Expect(bool condition) {
  if (!condition) std::abort();
}

// Two states of a registry: with a workload, and without.
const RegistrySnapshotPtr& Snapshot(bool full) {
  static const auto* const snapshots = [] {
    istio::workload::Workload workload;
    workload.set_uid("w");
    workload.set_name("w");
    workload.set_namespace_("n");
    workload.set_service_account("a");
    workload.set_trust_domain("td");
    workload.add_addresses(std::string("\x0a\0\0\1", 4));
    RegistryContent content;
    content.workloads.push_back(workload);
    return new std::vector<RegistrySnapshotPtr>{*RegistrySnapshot::Create({}),
                                                *RegistrySnapshot::Create(content)};
  }();
  return (*snapshots)[full ? 1 : 0];
}

// Everything there is to send now, each acknowledged at once by a good client.
void Drain(const RegistrySnapshotPtr& snapshot, DeltaSubscriptions* subscriptions) {
  // With a registry this small nothing needs more, unless it would never end.
  for (int i = 0; i < 200; ++i) {
    absl::optional<Response> response = subscriptions->Next(snapshot);
    if (!response.has_value()) return;
    Expect(!response->nonce().empty() && !response->type_url().empty());
    Response parsed;
    Expect(parsed.ParseFromString(response->SerializeAsString()));
    for (const auto& resource : response->resources()) {
      Expect(!resource.name().empty() && !resource.version().empty());
    }
    Request acknowledgement;
    acknowledgement.set_type_url(response->type_url());
    acknowledgement.set_response_nonce(response->nonce());
    Expect(subscriptions->OnRequest(acknowledgement).ok());
  }
  std::abort();
}

// `bytes`: messages, each after its size in two bytes.
void UseDiscovery(const uint8_t* bytes, size_t size) {
  DeltaSubscriptions subscriptions;
  for (int i = 0; i < kMaxRequests && size >= 2; ++i) {
    const size_t length = std::min<size_t>(bytes[0] * 256u + bytes[1], size - 2);
    Request request;
    const bool parsed = request.ParseFromArray(bytes + 2, static_cast<int>(length));
    bytes += 2 + length;
    size -= 2 + length;
    // gRPC ends a stream whose messages it cannot parse.
    if (!parsed || !subscriptions.OnRequest(request).ok()) return;
    // Every third is slow to be answered.
    if (i % 3 != 2) Drain(Snapshot(i % 2 == 0), &subscriptions);
  }
  Drain(Snapshot(true), &subscriptions);
}

std::string Message(const Request& request) {
  const std::string bytes = request.SerializeAsString();
  return std::string{static_cast<char>(bytes.size() / 256), static_cast<char>(bytes.size() % 256)} +
         bytes;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  Request by_address, wildcard, resume, off, unknown, rejection;
  by_address.set_type_url(kAddress);
  by_address.add_resource_names_subscribe("/10.0.0.1");
  by_address.add_resource_names_subscribe("/10.0.0.2");
  wildcard.set_type_url(kAuthorization);
  wildcard.add_resource_names_subscribe("*");
  resume.set_type_url(kAddress);
  (*resume.mutable_initial_resource_versions())["w"] = "1";
  (*resume.mutable_initial_resource_versions())["gone"] = "1";
  off.set_type_url(kAddress);
  off.add_resource_names_unsubscribe("*");
  off.add_resource_names_unsubscribe("/10.0.0.1");
  unknown.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  unknown.add_resource_names_subscribe("a");
  rejection.set_type_url(kAddress);
  rejection.set_response_nonce("1");
  rejection.mutable_error_detail()->set_message("no");
  byrnie::ca::v1::WatchTrustBundlesRequest acknowledgement;
  acknowledgement.set_acknowledged_version(7);
  acknowledgement.mutable_sent_at()->set_seconds(1893456000);
  const std::string discovery(1, kDiscovery);
  return {discovery + Message(by_address) + Message(rejection) + Message(off),
          discovery + Message(wildcard) + Message(resume) + Message(off) + Message(by_address),
          discovery + Message(resume) + Message(wildcard) + Message(unknown) + Message(rejection),
          std::string(1, kAcknowledgement) + acknowledgement.SerializeAsString()};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It says of every text that is not UTF-8 that it is none.
  static google::protobuf::LogHandler* const before = google::protobuf::SetLogHandler(nullptr);
  (void)before;
  if (size == 0) return 0;
  if (data[0] == byrnie::kDiscovery) byrnie::UseDiscovery(data + 1, size - 1);
  if (data[0] == byrnie::kAcknowledgement) {
    byrnie::ca::v1::WatchTrustBundlesRequest request;
    if (!request.ParseFromArray(data + 1, static_cast<int>(size) - 1)) return 0;
    // Whatever the clock that sent it, what is reckoned with it is a time.
    const absl::Time sent_at = byrnie::FromProto(request.sent_at());
    byrnie::Expect(sent_at > absl::InfinitePast() && sent_at < absl::InfiniteFuture());
  }
  return 0;
}
