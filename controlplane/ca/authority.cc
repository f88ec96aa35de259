#include "controlplane/ca/authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"

namespace byrnie {
namespace {

// Certificates have whole seconds (RFC 5280 section 4.1.2.5).
absl::Time FloorToSecond(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

}  // namespace

constexpr absl::Duration Authority::kBackdate;

absl::StatusOr<SpiffeId> ControlPlaneId(absl::string_view trust_domain) {
  return SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain, "/byrnie/controlplane"));
}

bool IsReservedPath(absl::string_view path) {
  return path == "/byrnie" || absl::StartsWith(path, "/byrnie/");
}

Authority::Authority(AuthoritySnapshotPtr snapshot, const Clock* clock, const IssuingWindow* window)
    : trust_domain_(snapshot->trust_domain),
      clock_(clock),
      window_(window),
      snapshot_(std::move(snapshot)) {}

absl::Status Authority::CheckIsCurrent() const {
  return window_ == nullptr ? absl::OkStatus() : window_->Check();
}

absl::Status Authority::CheckHasNotEnded(const SigningAuthority& signer) const {
  if (signer.not_after() > clock_->WallNow()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("a certificate of the authority expired at ", UtcText(signer.not_after())));
}

absl::Status Authority::CheckIssues() const {
  RETURN_IF_ERROR(CheckIsCurrent());
  return CheckHasNotEnded(*snapshot()->signer);
}

void Authority::Publish(AuthoritySnapshotPtr snapshot) {
  CHECK(snapshot->trust_domain == trust_domain_);
  absl::MutexLock lock(&mu_);
  snapshot_ = std::move(snapshot);
}

AuthoritySnapshotPtr Authority::snapshot() const {
  absl::MutexLock lock(&mu_);
  return snapshot_;
}

absl::StatusOr<IssuedSvid> Authority::Issue(const SpiffeId& id, absl::string_view public_key_der,
                                            absl::optional<absl::Duration> ttl,
                                            absl::Duration cap) const {
  RETURN_IF_ERROR(CheckIsCurrent());
  return IssueBy(*snapshot()->signer, id, public_key_der, ttl, cap, {});
}

absl::StatusOr<IssuedSvid> Authority::IssueForControlPlane(
    absl::string_view public_key_der, absl::Duration ttl,
    const std::vector<std::string>& dns_names) const {
  ASSIGN_OR_RETURN(SpiffeId id, ControlPlaneId(trust_domain_));
  return IssueBy(*snapshot()->server_signer, id, public_key_der, ttl, ttl, dns_names);
}

absl::StatusOr<IssuedSvid> Authority::IssueBy(const SigningAuthority& signer, const SpiffeId& id,
                                              absl::string_view public_key_der,
                                              absl::optional<absl::Duration> ttl,
                                              absl::Duration cap,
                                              const std::vector<std::string>& dns_names) const {
  if (id.trust_domain() != trust_domain_) {
    return absl::InvalidArgumentError(
        absl::StrCat(id.text(), " is not of the trust domain ", trust_domain_));
  }
  if (ttl.has_value() && *ttl <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a certificate cannot live ", absl::FormatDuration(*ttl)));
  }
  // Below a second the rounding would make it end before it begins.
  const absl::Duration life =
      std::max(std::min(ttl.value_or(cap), cap), absl::Duration(absl::Seconds(1)));
  const absl::Time now = clock_->WallNow();
  RETURN_IF_ERROR(CheckHasNotEnded(signer));
  IssuedSvid issued;
  ASSIGN_OR_RETURN(issued.chain, signer.Sign(id, public_key_der, FloorToSecond(now - kBackdate),
                                             FloorToSecond(now + life), dns_names));
  issued.issued_at = now;
  issued.root_id = signer.root_id();
  // Of the life from now on: the back-dated minute is no life the holder had.
  const absl::Duration left =
      std::max(issued.chain.front()->not_after() - now, absl::ZeroDuration());
  issued.renew_after = now + left * 0.4;
  issued.renew_before = now + left * 0.6;
  return issued;
}

}  // namespace byrnie
