#include "controlplane/attest/kubernetes_attestor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/base/json.h"
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
  PodBinding::TokenPod pod;
  absl::Time end;
};

// "" where there is none.
std::string TextWithin(const JsonObject& claims, absl::string_view object, absl::string_view name) {
  if (!claims.Has(object)) return "";
  const absl::StatusOr<JsonObject> found = claims.GetObject(object);
  return found.ok() ? found->GetStringOr(name, "").value_or("") : "";
}

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
  if (bound.ok()) {
    outside.pod.uid = TextWithin(*bound, "pod", "uid");
    outside.pod.name = TextWithin(*bound, "pod", "name");
    outside.pod.node = TextWithin(*bound, "node", "name");
  }
  if (outside.pod.uid.empty()) {
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
      binding_(options_.pod_address, options_.pods, metrics),
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
  RETURN_IF_ERROR(CheckNotGone(outside.pod.uid));
  using Signature = TokenSignatures::Verdict;
  const Signature signature =
      options_.signatures == nullptr ? Signature::kUnclear : options_.signatures->Judge(*jwt);
  if (signature == Signature::kWrong) {
    return RefuseCredential(RefusalReason::kBadSignature, "its signature is wrong");
  }
  const bool proven = signature == Signature::kRight;
  const std::string hash = HashBearerToken(credential);
  absl::optional<Verdict> known;
  {
    absl::MutexLock lock(&mu_);
    const Verdict* const recalled = Recall(hash);
    if (recalled != nullptr) {
      known = *recalled;
    } else {
      const absl::Status begun = limiter_.Begin(caller.source, proven, clock_->MonotonicNow());
      if (!begun.ok()) {
        sent_away_->Increment();
        return begun;
      }
    }
  }
  if (known.has_value()) {
    remembered_count_->Increment();
    RETURN_IF_ERROR(known->status());
    return Bind(**known, std::string(name()), caller);
  }
  if (signature == Signature::kUnknownKey && options_.on_unknown_key) options_.on_unknown_key();
  const Verdict verdict = Ask(credential, caller.deadline);
  {
    absl::MutexLock lock(&mu_);
    limiter_.End(caller.source, proven);
  }
  if (verdict.ok() || IsRefusedCredential(verdict.status(), nullptr)) {
    Remember(hash, verdict, outside.end);
    RETURN_IF_ERROR(verdict.status());
    return Bind(*verdict, std::string(name()), caller);
  }
  // Or whoever holds a token that the server would refuse has the keys judge it by being in a
  // hurry.
  if (caller.deadline - clock_->WallNow() < kTooLate) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the call's own deadline came before the API server's verdict; give it ",
        absl::FormatDuration(options_.patience), " or more (", verdict.status().message(), ")"));
  }
  return CheckOffline(credential, outside.pod, caller, verdict.status());
}

KubernetesAttestor::Verdict KubernetesAttestor::Ask(absl::string_view credential,
                                                    absl::Time deadline) {
  asked_->Increment();
  ASSIGN_OR_RETURN(TokenReview review,
                   reviewer_->Review(credential, options_.audiences,
                                     std::min(deadline, clock_->WallNow() + options_.patience)));
  return Judge(review);
}

KubernetesAttestor::Verdict KubernetesAttestor::Judge(const TokenReview& review) const {
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
  return PodBinding::Holder{std::move(id), {review.pod_uid, review.pod_name, review.node_name}};
}

absl::StatusOr<Attestor::Claim> KubernetesAttestor::CheckOffline(absl::string_view credential,
                                                                 const PodBinding::TokenPod& pod,
                                                                 const Caller& caller,
                                                                 const absl::Status& why) {
  if (fallback_ == nullptr) return why;
  // It may have gone while the server was asked.
  RETURN_IF_ERROR(CheckNotGone(pod.uid));
  const absl::StatusOr<Claim> claim = fallback_->Check(credential, caller);
  // Without keys nothing can be told.
  if (!claim.ok() && absl::IsNotFound(claim.status())) return why;
  if (!claim.ok()) return claim;
  offline_->Increment();
  // What it says is signed, all of it.
  return Bind({claim->id, pod}, absl::StrCat(name(), ":keys"), caller);
}

absl::StatusOr<Attestor::Claim> KubernetesAttestor::Bind(const PodBinding::Holder& holder,
                                                         std::string proof,
                                                         const Caller& caller) const {
  ASSIGN_OR_RETURN(const PodBinding::Judgement judgement, binding_.Judge(holder, caller.address));
  if (!judgement.lack.empty()) absl::StrAppend(&proof, ":", judgement.lack);
  if (judgement.lack == PodBinding::kOtherAddress && options_.on_other_address) {
    options_.on_other_address(holder.id, judgement.remark);
  }
  Claim claim{holder.id, std::move(proof), "", ""};
  claim.subject = absl::StrCat("pod ", holder.pod.name, " (", holder.pod.uid, ")",
                               judgement.node.empty() ? "" : " on ", judgement.node,
                               judgement.remark.empty() ? "" : ": ", judgement.remark);
  return claim;
}

// The API server goes on taking such a token for some ten seconds, and the keys until it expires.
absl::Status KubernetesAttestor::CheckNotGone(absl::string_view pod_uid) const {
  if (options_.pods == nullptr || options_.pods->Find(pod_uid).state != PodLookup::State::kGone) {
    return absl::OkStatus();
  }
  return RefuseCredential(RefusalReason::kUnknownToken, "its pod is gone");
}

const KubernetesAttestor::Verdict* KubernetesAttestor::Recall(const std::string& hash) {
  const absl::Time now = clock_->WallNow();
  const Verdict* const bad = bad_.Find(hash, now);
  return bad != nullptr ? bad : good_.Find(hash, now);
}

void KubernetesAttestor::Remember(const std::string& hash, const Verdict& verdict,
                                  absl::Time token_end) {
  const absl::Time now = clock_->WallNow();
  const absl::Time until = verdict.ok() ? std::min(now + options_.remember_good, token_end)
                                        : now + options_.remember_bad;
  absl::MutexLock lock(&mu_);
  (verdict.ok() ? bad_ : good_).Forget(hash);
  (verdict.ok() ? good_ : bad_).Put(hash, verdict, until);
}

}  // namespace byrnie
