#ifndef BYRNIE_CTL_TRUST_TEXT_H_
#define BYRNIE_CTL_TRUST_TEXT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"

namespace byrnie {

// Whom the mesh trusts and does not, and where a rotation of its root stands, for people. Pure.

// As it is, said after a move or when nothing was asked for.
std::string TrustText(const byrnie::operator_::v1::Trust& trust, absl::Time now);

// What an answer to a dry run says, in words that nobody takes for something done. `excluded`: whom
// it asked not to wait for. `in_steps`: it asked for one move, which is refused while somebody
// keeps it back; else the rotation would wait.
std::string DryRunText(const byrnie::operator_::v1::Trust& trust,
                       const std::vector<std::string>& excluded, bool in_steps, absl::Time now);

// What is revoked.
std::string RevocationsText(const std::vector<byrnie::operator_::v1::Revocation>& revocations,
                            absl::Time now);

}  // namespace byrnie

#endif  // BYRNIE_CTL_TRUST_TEXT_H_
