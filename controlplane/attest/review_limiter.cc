#include "controlplane/attest/review_limiter.h"

#include <utility>

namespace byrnie {

ReviewLimiter::ReviewLimiter(const Options& options)
    : options_(options), rate_(0, options.per_source_and_second) {}

absl::Status ReviewLimiter::Begin(const std::string& source, bool proven, absl::Duration now) {
  if (all_ >= options_.most || (!proven && unproven_ >= options_.most_unproven)) {
    return absl::UnavailableError("too many tokens wait for the API server; come back later");
  }
  if (!proven) {
    const auto own = by_source_.find(source);
    if (own != by_source_.end() && own->second >= options_.most_per_source) {
      return absl::UnavailableError(
          "too many tokens from this address wait for the API server; come back later");
    }
    // One of nobody knows whom has a share, too.
    if (!rate_.Admit(now, {source.empty() ? "unknown" : source}).ok()) {
      return absl::UnavailableError(
          "too many tokens have come from this address within a second; come back later");
    }
    ++by_source_[source];
    ++unproven_;
  }
  ++all_;
  return absl::OkStatus();
}

void ReviewLimiter::End(const std::string& source, bool proven) {
  --all_;
  if (proven) return;
  --unproven_;
  const auto own = by_source_.find(source);
  if (--own->second == 0) by_source_.erase(own);
}

}  // namespace byrnie
