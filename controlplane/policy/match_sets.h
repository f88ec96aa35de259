#ifndef BYRNIE_CONTROLPLANE_POLICY_MATCH_SETS_H_
#define BYRNIE_CONTROLPLANE_POLICY_MATCH_SETS_H_

#include "istio/security/authorization.pb.h"

namespace byrnie {

// Which of what policies compare with is part of what else. Pure; blocks and matches are valid.

using AddressBlocks = google::protobuf::RepeatedPtrField<istio::security::Address>;
using StringMatches = google::protobuf::RepeatedPtrField<istio::security::StringMatch>;

// Whether every address of `block` is in one of `blocks`, of which several may be needed.
bool Covers(const AddressBlocks& blocks, const istio::security::Address& block);
// Whether some address is in both.
bool Overlap(const istio::security::Address& a, const istio::security::Address& b);
// Whether all addresses are, IPv4 and IPv6.
bool CoversAll(const AddressBlocks& blocks);

// Whether it matches any text but the empty one.
bool IsAnyText(const istio::security::StringMatch& match);
// Whether all that `match` matches one of `matches` does; may say false where several together do.
bool Covers(const StringMatches& matches, const istio::security::StringMatch& match);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_MATCH_SETS_H_
