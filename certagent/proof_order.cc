#include "certagent/proof_order.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace byrnie {

const char* ProofName(Proof proof) { return proof == Proof::kSvid ? "certificate" : "token"; }

absl::StatusOr<std::vector<Proof>> ParseProofs(absl::string_view text) {
  std::vector<Proof> order;
  for (absl::string_view word : absl::StrSplit(text, ',')) {
    word = absl::StripAsciiWhitespace(word);
    if (word != "svid" && word != "token") {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", word, "\" is neither svid nor token; give for example svid,token"));
    }
    const Proof proof = word == "svid" ? Proof::kSvid : Proof::kToken;
    if (std::find(order.begin(), order.end(), proof) != order.end()) {
      return absl::InvalidArgumentError(absl::StrCat(word, " is named twice"));
    }
    order.push_back(proof);
  }
  if (std::find(order.begin(), order.end(), Proof::kToken) == order.end()) {
    return absl::InvalidArgumentError("without token there is no first certificate; add token");
  }
  return order;
}

Proof ProofOrder::Choose(bool has_svid, bool svid_is_valid) const {
  std::vector<Proof> usable;
  for (Proof proof : order_) {
    if (proof == Proof::kToken || (has_svid && svid_is_valid)) usable.push_back(proof);
  }
  const bool named = std::find(order_.begin(), order_.end(), Proof::kSvid) != order_.end();
  if (named && has_svid && !svid_is_valid) usable.push_back(Proof::kSvid);
  return usable[refusals_ % usable.size()];
}

void ProofOrder::OnFailed(const absl::Status& why) {
  // NotFound: there is no token in the file.
  const bool refused =
      absl::IsUnauthenticated(why) || absl::IsPermissionDenied(why) || absl::IsNotFound(why);
  refusals_ = refused ? (refusals_ + 1) % order_.size() : 0;
}

}  // namespace byrnie
