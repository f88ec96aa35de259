#ifndef BYRNIE_COMMON_FLOW_FLOW_GROUPS_H_
#define BYRNIE_COMMON_FLOW_FLOW_GROUPS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/flow.pb.h"

namespace byrnie {

// Connections as people look at them: who talks to whom at which port, whichever pods those are.
struct FlowGroup {
  // "demo/client" of an identity /ns/demo/sa/client of the own mesh, "partner.example/demo/client"
  // of another one's; else the identity, the sources' network or an address.
  std::string source;
  std::string destination;
  uint32_t port = 0;
  // Empty: none.
  std::string source_spiffe_id;
  std::string destination_spiffe_id;
  // "namespace/hostname", one of those that were called; empty: none.
  std::string service;
  std::string path;
  byrnie::operator_::v1::Flow::Verdict verdict = byrnie::operator_::v1::Flow::VERDICT_UNSPECIFIED;
  // The destination has reported none of it, which came to it if that is true: whoever opened it
  // can say so of anything.
  bool says_source_alone = false;
  // Of the last one.
  std::string reason;
  uint64_t connections = 0;
  uint64_t open = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  absl::Time first_seen = absl::InfiniteFuture();
  absl::Time last_seen = absl::InfinitePast();
};

// Of flows that several control planes have, which an agent reported to one after the other, the
// newest; by id. Pure.
std::vector<byrnie::operator_::v1::Flow> MergeFlows(std::vector<byrnie::operator_::v1::Flow> flows);

// Each connection once: what the destination has reported counts, and what the source has of the
// same two ends only adds the name of the service. The most recent group first. Pure.
std::vector<FlowGroup> GroupFlows(const std::vector<byrnie::operator_::v1::Flow>& flows);

// "demo/client" of "spiffe://TRUST_DOMAIN/ns/demo/sa/client" where `own` is an identity of that
// trust domain too, else "TRUST_DOMAIN/demo/client", so that nobody of another mesh is taken for
// one of this one; other identities as they are.
std::string ShortIdentity(absl::string_view spiffe_id, absl::string_view own);
// As FlowGroup::source and destination have it, of one flow; different identities have different
// ones. The own mesh is that of the end that reports.
std::string SourceLabel(const byrnie::operator_::v1::Flow& flow);
std::string DestinationLabel(const byrnie::operator_::v1::Flow& flow);

// "allowed", "denied", "failed".
absl::string_view VerdictText(byrnie::operator_::v1::Flow::Verdict verdict);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_FLOW_FLOW_GROUPS_H_
