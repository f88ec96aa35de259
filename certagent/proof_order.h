#ifndef BYRNIE_CERTAGENT_PROOF_ORDER_H_
#define BYRNIE_CERTAGENT_PROOF_ORDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What the agent proves to the authority with.
enum class Proof {
  kSvid,   // The present certificate, over mutual TLS.
  kToken,  // What the token file holds.
};
const char* ProofName(Proof proof);

// Parses "svid,token": each at most once. InvalidArgument without "token", because nothing else
// gives the first certificate.
absl::StatusOr<std::vector<Proof>> ParseProofs(absl::string_view text);

// Chooses what to prove with, in an order of preference, and falls over to the next one when the
// authority refuses. Lives on one thread.
class ProofOrder {
 public:
  // `order` is not empty and has kToken.
  explicit ProofOrder(std::vector<Proof> order) : order_(std::move(order)) {}

  // A certificate that is not valid by our clock comes last: our clock may be what is wrong.
  Proof Choose(bool has_svid, bool svid_is_valid) const;
  // Only a refusal calls for another proof, once around: an authority that is away must not make us
  // spend attempts on a token that has been used up.
  void OnFailed(const absl::Status& why);
  void OnIssued() { refusals_ = 0; }

 private:
  const std::vector<Proof> order_;
  size_t refusals_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_PROOF_ORDER_H_
