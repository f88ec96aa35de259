#ifndef BYRNIE_CONTROLPLANE_EXPLAIN_EXPLAIN_H_
#define BYRNIE_CONTROLPLANE_EXPLAIN_EXPLAIN_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/explain/mesh_view.h"

namespace byrnie {

// "Can A reach B at this port?"
struct ExplainQuestion {
  // An address, "namespace/name" or uid of a workload, or its SPIFFE ID.
  std::string source;
  // An address, "namespace/name" or uid of a workload; or a service's address,
  // "namespace/hostname", "namespace/name" or hostname.
  std::string destination;
  uint16_t port = 0;
};

// One step of a connection.
struct ExplainStep {
  enum class Outcome {
    kOk,       // Nothing is in the way.
    kFailed,   // The connection ends here.
    kUnknown,  // The control plane cannot know.
  };
  std::string name;  // Of explain_step.
  Outcome outcome = Outcome::kUnknown;
  std::string reason;
  std::string remedy;
};

// The names of steps, in the order in which they happen. docs/operations.md explains each.
namespace explain_step {
inline constexpr char kSource[] = "source";
inline constexpr char kSourceCertificate[] = "source-certificate";
inline constexpr char kSourceAgent[] = "source-agent";
inline constexpr char kSourceProxy[] = "source-proxy";
inline constexpr char kSourceIdentity[] = "source-identity";
inline constexpr char kSourceClock[] = "source-clock";
inline constexpr char kDestination[] = "destination";
inline constexpr char kServicePort[] = "service-port";
inline constexpr char kEndpoint[] = "endpoint";
inline constexpr char kEndpointHealth[] = "endpoint-health";
inline constexpr char kEndpointLocality[] = "endpoint-locality";
inline constexpr char kProtocol[] = "protocol";
inline constexpr char kDestinationCertificate[] = "destination-certificate";
inline constexpr char kDestinationAgent[] = "destination-agent";
inline constexpr char kDestinationProxy[] = "destination-proxy";
inline constexpr char kDestinationIdentity[] = "destination-identity";
inline constexpr char kDestinationClock[] = "destination-clock";
inline constexpr char kTrust[] = "trust";
inline constexpr char kTrustBundle[] = "trust-bundle";
inline constexpr char kInboundMode[] = "inbound-mode";
inline constexpr char kPolicy[] = "policy";
inline constexpr char kPod[] = "pod";
}  // namespace explain_step

// The steps, and whom they are about.
struct ExplainAnswer {
  std::vector<ExplainStep> steps;
  std::string source_uid, source_spiffe_id, source_address;
  std::string destination_uid, destination_spiffe_id, destination_address;
  // Connections of the agents that speak for the source and for those endpoints that may be chosen,
  // the first kMaxAgents of them: whom to ask whether they are there (MeshFacts::answers).
  static constexpr size_t kMaxAgents = 100;
  std::set<std::string> agents;

  // Null: none failed.
  const ExplainStep* first_failed() const;
  // In one sentence.
  std::string Verdict() const;
};

// Goes through the steps of a connection as the proxies will, with what the control plane knows.
// Where a service has several endpoints the answer is about the first that fails, else about the
// first. Where some fail for a reason that makes a proxy try the others it is about the first of
// those, and endpoint-health, which is OK, says so and has a remedy. Pure. InvalidArgument when the
// question is none: an empty name, no port.
absl::StatusOr<ExplainAnswer> Explain(const MeshFacts& facts, const ExplainQuestion& question);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_EXPLAIN_EXPLAIN_H_
