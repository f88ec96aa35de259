#include "controlplane/attest/kubernetes_attestor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/crypto/token/bearer_token.h"
#include "common/crypto/token/compact_jwt.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/ca/authority.h"

namespace byrnie {
namespace {

constexpr char kReviews[] = "byrnie_controlplane_token_reviews_total";
constexpr char kReviewsHelp[] =
    "Service account tokens judged, by whom: the API server, what it said a moment ago, or its "
    "keys alone while it could not be asked.";
// An answer that is ready with less than this left comes too late. Timers and clocks are as exact.
constexpr absl::Duration kTooLate = absl::Milliseconds(50);

// What a token says of itself before anybody has vouched for it: enough to see that it is no use
// to ask.
struct Outside {
  std::string pod_uid;
  absl::Time end;
};

absl::StatusOr<Outside> LookAt(const CompactJwt& jwt, const std::vector<std::string>& audiences,
                               absl::Time now) {
  const absl::optional<JsonValue> value = jwt.claims.Find("kubernetes.io");
  if (!value.has_value()) {
    if (jwt.claims.Has("kubernetes.io/serviceaccount/namespace")) {
      return RefuseCredential(RefusalReason::kWrongClaims,
                              "it is a token of a Secret, which no pod holds for itself; give the "
                              "agent a projected one");
    }
    return absl::NotFoundError("it is no token of a service account");
  }
  Outside outside;
  const absl::StatusOr<JsonObject> bound = value->AsObject();
  if (bound.ok() && bound->Has("pod")) {
    const absl::StatusOr<JsonObject> pod = bound->GetObject("pod");
    if (pod.ok()) outside.pod_uid = pod->GetStringOr("uid", "").value_or("");
  }
  if (outside.pod_uid.empty()) {
    return RefuseCredential(RefusalReason::kWrongClaims, "it is not bound to a pod");
  }
  const absl::StatusOr<absl::optional<absl::Time>> end = FindJwtDate(jwt.claims, "exp");
  if (!end.ok() || !end->has_value()) {
    return RefuseCredential(RefusalReason::kMalformed, "it has no exp");
  }
  outside.end = **end;
  if (outside.end <= now) return RefuseCredential(RefusalReason::kExpired, "it has expired");
  const absl::StatusOr<std::vector<std::string>> audience = GetJwtAudience(jwt.claims);
  if (!audience.ok() || std::find_first_of(audience->begin(), audience->end(), audiences.begin(),
                                           audiences.end()) == audience->end()) {
    return RefuseCredential(RefusalReason::kWrongAudience,
                            absl::StrCat("it is not for ", audiences.front()));
  }
  return outside;
}

// "system:serviceaccount:NAMESPACE:NAME".
absl::StatusOr<SpiffeId> IdentityOf(const std::string& username, const std::string& trust_domain) {
  absl::string_view rest = username;
  const bool account = absl::ConsumePrefix(&rest, "system:serviceaccount:");
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, ':');
  if (!account || parts.size() != 2) {
    return RefuseCredential(RefusalReason::kWrongClaims,
                            absl::StrCat("it is of \"", absl::CHexEscape(username.substr(0, 128)),
                                         "\", which is no service account"));
  }
  absl::StatusOr<SpiffeId> id =
      SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain, "/ns/", parts[0], "/sa/", parts[1]));
  if (!id.ok() || IsReservedPath(id->path())) {
    return RefuseCredential(RefusalReason::kWrongClaims, "its account makes no identity");
  }
  return id;
}

}  // namespace

KubernetesAttestor::KubernetesAttestor(Options options, TokenReviewer* reviewer, Attestor* fallback,
                                       const Clock* clock, MetricRegistry* metrics)
    : options_(std::move(options)),
      reviewer_(reviewer),
      fallback_(fallback),
      clock_(clock),
      asked_(metrics->AddCounter(kReviews, kReviewsHelp, {{"by", "api_server"}})),
      remembered_count_(metrics->AddCounter(kReviews, kReviewsHelp, {{"by", "memory"}})),
      offline_(metrics->AddCounter(kReviews, kReviewsHelp, {{"by", "keys"}})),
      sent_away_(metrics->AddCounter(
          "byrnie_controlplane_token_reviews_sent_away_total",
          "Service account tokens whose holder was told to come back later, because too many wait "
          "for the API server or come from one address.")),
      limiter_(options_.reviews),
      good_(options_.max_remembered),
      bad_(options_.max_remembered) {}

absl::StatusOr<Attestor::Claim> KubernetesAttestor::Check(absl::string_view credential,
                                                          const Caller& caller) {
  if (!LooksLikeJwt(credential)) return absl::NotFoundError("it is no JWT");
  absl::StatusOr<CompactJwt> jwt = ParseCompactJwt(credential, kMaxSize);
  // Another attestor takes JWTs, too, and says what is wrong with one.
  if (!jwt.ok()) return absl::NotFoundError("it is no token of a service account");
  ASSIGN_OR_RETURN(Outside outside, LookAt(*jwt, options_.audiences, clock_->WallNow()));
  RETURN_IF_ERROR(CheckNotGone(outside.pod_uid));
  using Signature = TokenSignatures::Verdict;
  const Signature signature =
      options_.signatures == nullptr ? Signature::kUnclear : options_.signatures->Judge(*jwt);
  if (signature == Signature::kWrong) {
    return RefuseCredential(RefusalReason::kBadSignature, "its signature is wrong");
  }
  const bool proven = signature == Signature::kRight;
  const std::string hash = HashBearerToken(credential);
  {
    absl::MutexLock lock(&mu_);
    const VerdictMemory::Verdict* const known = Recall(hash);
    if (known != nullptr) {
      remembered_count_->Increment();
      return *known;
    }
    const absl::Status begun = limiter_.Begin(caller.source, proven, clock_->MonotonicNow());
    if (!begun.ok()) {
      sent_away_->Increment();
      return begun;
    }
  }
  if (signature == Signature::kUnknownKey && options_.on_unknown_key) options_.on_unknown_key();
  absl::StatusOr<Claim> verdict = Ask(credential, caller.deadline);
  {
    absl::MutexLock lock(&mu_);
    limiter_.End(caller.source, proven);
  }
  if (verdict.ok() || IsRefusedCredential(verdict.status(), nullptr)) {
    Remember(hash, verdict, outside.end);
    return verdict;
  }
  // Or whoever holds a token that the server would refuse has the keys judge it by being in a
  // hurry.
  if (caller.deadline - clock_->WallNow() < kTooLate) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the call's own deadline came before the API server's verdict; give it ",
        absl::FormatDuration(options_.patience), " or more (", verdict.status().message(), ")"));
  }
  return CheckOffline(credential, outside.pod_uid, caller, verdict.status());
}

absl::StatusOr<Attestor::Claim> KubernetesAttestor::Ask(absl::string_view credential,
                                                        absl::Time deadline) {
  asked_->Increment();
  ASSIGN_OR_RETURN(TokenReview review,
                   reviewer_->Review(credential, options_.audiences,
                                     std::min(deadline, clock_->WallNow() + options_.patience)));
  return Judge(review);
}

absl::StatusOr<Attestor::Claim> KubernetesAttestor::Judge(const TokenReview& review) const {
  if (!review.authenticated) {
    return RefuseCredential(
        RefusalReason::kUnknownToken,
        absl::StrCat("the API server does not know it",
                     review.error.empty() ? "" : absl::StrCat(": ", review.error)));
  }
  // A server that does not know audiences at all answers without any, for whatever token.
  if (std::find_first_of(review.audiences.begin(), review.audiences.end(),
                         options_.audiences.begin(),
                         options_.audiences.end()) == review.audiences.end()) {
    return RefuseCredential(RefusalReason::kWrongAudience,
                            "the API server does not say that it is for us");
  }
  ASSIGN_OR_RETURN(SpiffeId id, IdentityOf(review.username, options_.trust_domain));
  if (review.pod_name.empty() || review.pod_uid.empty()) {
    return RefuseCredential(RefusalReason::kWrongClaims,
                            "the API server does not say which pod it is bound to");
  }
  Claim claim{std::move(id), std::string(name()), "", ""};
  claim.subject = absl::StrCat("pod ", review.pod_name, " (", review.pod_uid, ")",
                               review.node_name.empty() ? "" : " on ", review.node_name);
  return claim;
}

absl::StatusOr<Attestor::Claim> KubernetesAttestor::CheckOffline(absl::string_view credential,
                                                                 absl::string_view pod_uid,
                                                                 const Caller& caller,
                                                                 const absl::Status& why) {
  if (fallback_ == nullptr) return why;
  // It may have gone while the server was asked.
  RETURN_IF_ERROR(CheckNotGone(pod_uid));
  absl::StatusOr<Claim> claim = fallback_->Check(credential, caller);
  // Without keys nothing can be told.
  if (!claim.ok() && absl::IsNotFound(claim.status())) return why;
  if (!claim.ok()) return claim;
  offline_->Increment();
  claim->proof = absl::StrCat(name(), ":keys");
  claim->subject = absl::StrCat("pod uid ", pod_uid);
  claim->handle.clear();
  return claim;
}

// The API server goes on taking such a token for some ten seconds, and the keys until it expires.
absl::Status KubernetesAttestor::CheckNotGone(absl::string_view pod_uid) const {
  if (!options_.pod_state || options_.pod_state(pod_uid) != PodState::kGone) {
    return absl::OkStatus();
  }
  return RefuseCredential(RefusalReason::kUnknownToken, "its pod is gone");
}

const VerdictMemory::Verdict* KubernetesAttestor::Recall(const std::string& hash) {
  const absl::Time now = clock_->WallNow();
  const VerdictMemory::Verdict* const bad = bad_.Find(hash, now);
  return bad != nullptr ? bad : good_.Find(hash, now);
}

void KubernetesAttestor::Remember(const std::string& hash, const absl::StatusOr<Claim>& verdict,
                                  absl::Time token_end) {
  const absl::Time now = clock_->WallNow();
  const absl::Time until = verdict.ok() ? std::min(now + options_.remember_good, token_end)
                                        : now + options_.remember_bad;
  absl::MutexLock lock(&mu_);
  (verdict.ok() ? bad_ : good_).Forget(hash);
  (verdict.ok() ? good_ : bad_).Put(hash, verdict, until);
}

}  // namespace byrnie
