#include "controlplane/stream/identity_streams.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"

namespace byrnie {
namespace {

constexpr char kRefused[] = "byrnie_controlplane_agent_streams_refused_total";
constexpr char kRefusedHelp[] =
    "Streams of trust bundles that were refused to callers with a certificate because there were "
    "too many, by whose.";

absl::Status TooMany(std::string why) {
  absl::Status refused = absl::ResourceExhaustedError(std::move(why));
  SetRetryAfter(&refused, IdentityStreams::kRetryAfter);
  return refused;
}

}  // namespace

constexpr size_t IdentityStreams::kOfOneIdentity;
constexpr size_t IdentityStreams::kOfAll;
constexpr size_t IdentityStreams::kAlways;
constexpr absl::Duration IdentityStreams::kRetryAfter;

IdentityStreams::IdentityStreams(MetricRegistry* metrics)
    : refused_identity_(metrics->AddCounter(kRefused, kRefusedHelp, {{"limit", "identity"}})),
      refused_all_(metrics->AddCounter(kRefused, kRefusedHelp, {{"limit", "all"}})) {}

absl::StatusOr<std::unique_ptr<IdentityStreams::Place>> IdentityStreams::Admit(
    const std::string& identity) {
  absl::MutexLock lock(&mu_);
  const auto known = of_identity_.find(identity);
  const size_t own = known == of_identity_.end() ? 0 : known->second;
  if (own >= kOfOneIdentity) {
    refused_identity_->Increment();
    return TooMany(absl::StrCat(identity, " has ", own,
                                " of these streams open; an agent needs one: close some, or run "
                                "more control planes"));
  }
  if (open_ >= kOfAll && own >= kAlways) {
    refused_all_->Increment();
    return TooMany(absl::StrCat("there are ", open_, " of these streams open, and ", identity,
                                " is among those that have most: close some, or run more control "
                                "planes"));
  }
  ++open_;
  ++of_identity_[identity];
  return absl::WrapUnique(new Place(this, identity));
}

void IdentityStreams::GiveBack(const std::string& identity) {
  absl::MutexLock lock(&mu_);
  const auto known = of_identity_.find(identity);
  --open_;
  if (--known->second == 0) of_identity_.erase(known);
}

}  // namespace byrnie
