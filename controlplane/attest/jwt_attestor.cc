#include "controlplane/attest/jwt_attestor.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "common/crypto/token/bearer_token.h"
#include "common/crypto/token/compact_jwt.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/ca/authority.h"

namespace byrnie {
namespace {

constexpr size_t kMaxQuoted = 128;
constexpr size_t kHashSize = 32;
// Entries of an issuer's identities that a refusal says something of.
constexpr size_t kMaxEntriesSaid = 4;

std::string Quote(absl::string_view text) {
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kMaxQuoted)), "\"",
                      text.size() > kMaxQuoted ? "..." : "");
}

absl::Status Malformed(absl::string_view what) {
  return RefuseCredential(RefusalReason::kMalformed, what);
}

// What parsing says is why it is refused.
template <typename T>
absl::StatusOr<T> OrMalformed(absl::StatusOr<T> parsed) {
  if (!parsed.ok()) return Malformed(parsed.status().message());
  return parsed;
}

// The key that the header names. What else a header says, such as a key that comes with the token,
// is not looked at.
absl::StatusOr<const Jwk*> FindKey(const JsonObject& header, const JwkSet& keys) {
  if (header.Has("crit")) return Malformed("its header has crit");
  const absl::StatusOr<std::string> type = header.GetStringOr("typ", "JWT");
  if (!type.ok() || !absl::EqualsIgnoreCase(*type, "JWT")) return Malformed("its typ is not JWT");
  const absl::StatusOr<std::string> algorithm = header.GetString("alg");
  if (!algorithm.ok() || (*algorithm != "ES256" && *algorithm != "RS256")) {
    return Malformed("its alg is neither ES256 nor RS256");
  }
  std::string id;
  if (header.Has("kid")) {
    absl::StatusOr<std::string> given = header.GetString("kid");
    if (!given.ok() || given->empty()) return Malformed("its kid is empty or no text");
    id = *std::move(given);
  }
  const Jwk* const key = keys.Find(id);
  if (key == nullptr) {
    return RefuseCredential(RefusalReason::kUnknownKey,
                            id.empty() ? "it has no kid, and its issuer more than one key"
                                       : absl::StrCat("its issuer has no key ", Quote(id),
                                                      ": is its file up to date?"));
  }
  if (key->algorithm() != *algorithm) {
    return RefuseCredential(
        RefusalReason::kUnknownKey,
        absl::StrCat("its alg is ", *algorithm, ", its key is for ", key->algorithm()));
  }
  return key;
}

// The end of the token.
absl::StatusOr<absl::Time> CheckTimes(const JsonObject& claims, absl::Duration leeway,
                                      absl::Duration max_life, absl::Time now) {
  ASSIGN_OR_RETURN(absl::optional<absl::Time> end, OrMalformed(FindJwtDate(claims, "exp")));
  ASSIGN_OR_RETURN(absl::optional<absl::Time> begin, OrMalformed(FindJwtDate(claims, "nbf")));
  ASSIGN_OR_RETURN(absl::optional<absl::Time> issued, OrMalformed(FindJwtDate(claims, "iat")));
  if (!end.has_value()) return Malformed("it has no exp");
  if (*end + leeway <= now) {
    return RefuseCredential(
        RefusalReason::kExpired,
        absl::StrCat("it expired ", absl::FormatDuration(absl::Trunc(now - *end, absl::Seconds(1))),
                     " ago"));
  }
  const absl::Time first = std::max(begin.value_or(now), issued.value_or(now));
  if (first - leeway > now) {
    return RefuseCredential(RefusalReason::kNotYetValid,
                            absl::StrCat("it is valid in ", absl::FormatDuration(absl::Ceil(
                                                                first - now, absl::Seconds(1)))));
  }
  // What is left says nothing: a token of years would be good in its last hour.
  if (!issued.has_value()) issued = begin;
  if (!issued.has_value()) {
    return Malformed("it has neither iat nor nbf, so that nobody knows how long it lives");
  }
  const absl::Duration life = *end - *issued;
  if (life > max_life) {
    return RefuseCredential(RefusalReason::kTooLongLived,
                            absl::StrCat("it lives ", absl::FormatDuration(life), ", more than ",
                                         absl::FormatDuration(max_life)));
  }
  return *end;
}

absl::Status CheckAudience(const JsonObject& claims, const std::vector<std::string>& ours) {
  ASSIGN_OR_RETURN(std::vector<std::string> audience, OrMalformed(GetJwtAudience(claims)));
  if (std::find_first_of(audience.begin(), audience.end(), ours.begin(), ours.end()) !=
      audience.end()) {
    return absl::OkStatus();
  }
  return RefuseCredential(
      RefusalReason::kWrongAudience,
      absl::StrCat("it is for ", audience.empty() ? "nobody" : Quote(audience[0]), ", not for ",
                   ours[0]));
}

absl::StatusOr<SpiffeId> FindIdentity(const JsonObject& claims, const JwtIssuer& issuer) {
  // Which entry was meant for the token nobody knows.
  const size_t size = issuer.identities.size();
  std::string why =
      size == 1 ? "" : absl::StrCat("none of its issuer's ", size, " identities fits");
  for (size_t i = 0; i < size; ++i) {
    absl::StatusOr<SpiffeId> id = issuer.identities[i].Map(claims);
    // No mapping gives a reserved one; whoever changes that finds it here.
    if (id.ok() && !IsReservedPath(id->path())) return id;
    if (size == 1) {
      why = std::string(id.status().message());
    } else if (i < kMaxEntriesSaid) {
      absl::StrAppend(&why, "; entry ", i + 1, ": ", id.status().message());
    }
  }
  if (size > kMaxEntriesSaid) absl::StrAppend(&why, "; and ", size - kMaxEntriesSaid, " more");
  return RefuseCredential(RefusalReason::kWrongClaims, why);
}

// Of a token that works once.
absl::string_view HashOf(const Attestor::Claim& claim) {
  return absl::string_view(claim.handle).substr(0, kHashSize);
}

absl::Status UsedBefore() {
  return RefuseCredential(RefusalReason::kReplayed, "it has been used before");
}

// Until when it is to be remembered that it was used, by any leeway that may be in force until
// then; absent: it is none of those.
absl::optional<absl::Time> ForgetAt(const Attestor::Claim& claim) {
  int64_t end = 0;
  if (claim.handle.size() < kHashSize ||
      !absl::SimpleAtoi(absl::string_view(claim.handle).substr(kHashSize), &end)) {
    return absl::nullopt;
  }
  return absl::FromUnixSeconds(end) + absl::Seconds(1) + JwtConfig::kMaxLeeway;
}

}  // namespace

void JwtAttestor::SetTrust(JwtTrustPtr trust) {
  absl::MutexLock lock(&mu_);
  trust_.swap(trust);
}

absl::StatusOr<Attestor::Claim> JwtAttestor::Check(absl::string_view credential, const Caller&) {
  if (!LooksLikeJwt(credential)) return absl::NotFoundError("it is no JWT");
  JwtTrustPtr trust;
  {
    absl::MutexLock lock(&mu_);
    trust = trust_;
  }
  ASSIGN_OR_RETURN(CompactJwt jwt, OrMalformed(ParseCompactJwt(credential, kMaxSize)));
  const absl::StatusOr<std::string> name = jwt.claims.GetString("iss");
  if (!name.ok()) return Malformed("it has no iss");
  const auto entry =
      std::find_if(trust->issuers.begin(), trust->issuers.end(),
                   [&name](const JwtTrust::Entry& other) { return other.issuer.name == *name; });
  if (entry == trust->issuers.end()) {
    return absl::NotFoundError(absl::StrCat("its issuer ", Quote(*name), " is not configured"));
  }
  ASSIGN_OR_RETURN(const Jwk* key, FindKey(jwt.header, *entry->keys));
  // Before anything that it claims is believed, or said to anybody.
  if (!key->Verify(jwt.signed_part, jwt.signature)) {
    return RefuseCredential(RefusalReason::kBadSignature, "its signature is wrong");
  }
  const JwtIssuer& issuer = entry->issuer;
  ASSIGN_OR_RETURN(absl::Time end,
                   CheckTimes(jwt.claims, trust->leeway, issuer.max_life, clock_->WallNow()));
  RETURN_IF_ERROR(CheckAudience(jwt.claims, issuer.audiences));
  ASSIGN_OR_RETURN(SpiffeId id, FindIdentity(jwt.claims, issuer));
  Claim claim{std::move(id), absl::StrCat("jwt:", issuer.name), "", ""};
  claim.subject = jwt.claims.GetStringOr("sub", "").value_or("");
  if (issuer.single_use) {
    claim.handle = absl::StrCat(HashBearerToken(jwt.signed_part), absl::ToUnixSeconds(end));
    // Redeem is what holds; this spares the signature, and whoever waits for what is signed.
    if (used_.Has(claim.proof, HashOf(claim))) return UsedBefore();
  }
  return claim;
}

absl::Status JwtAttestor::Redeem(const Claim& claim) {
  if (claim.handle.empty()) return absl::OkStatus();
  const absl::optional<absl::Time> forget = ForgetAt(claim);
  if (!forget.has_value()) return absl::InternalError("not a claim of this attestor");
  switch (used_.Note(claim.proof, HashOf(claim), *forget, clock_->WallNow())) {
    case UsedTokens::Result::kNoted:
      return absl::OkStatus();
    case UsedTokens::Result::kUsed:
      return UsedBefore();
    case UsedTokens::Result::kFull:
      break;
  }
  return absl::UnavailableError(
      "too many tokens of this issuer have been used that have not expired; come back later");
}

void JwtAttestor::Restore(const Claim& claim) {
  const absl::optional<absl::Time> forget = ForgetAt(claim);
  if (forget.has_value()) used_.Forget(claim.proof, HashOf(claim), *forget);
}

}  // namespace byrnie
