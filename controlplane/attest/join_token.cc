#include "controlplane/attest/join_token.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/token/bearer_token.h"
#include "common/crypto/token/compact_jwt.h"
#include "common/grpc/error_details.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/ca/authority.h"
#include "controlplane/records/join_token_record.h"

namespace byrnie {
namespace {

// A longer credential is none of ours; it is not even hashed.
constexpr size_t kMaxCredential = 1024;
// The digits of an id.
constexpr size_t kIdSize = 64;

}  // namespace

JoinTokens::JoinTokens(std::string trust_domain, Store* store, const Clock* clock,
                       MetricRegistry* metrics)
    : trust_domain_(std::move(trust_domain)),
      store_(store),
      clock_(clock),
      created_(metrics->AddCounter("byrnie_controlplane_join_tokens_created_total",
                                   "Join tokens made for operators.")) {}

absl::StatusOr<JoinTokens::Created> JoinTokens::Create(const SpiffeId& id, absl::Duration ttl) {
  if (id.trust_domain() != trust_domain_) {
    return InvalidField("spiffe_id",
                        absl::StrCat(id.text(), " is not of the control plane's trust domain \"",
                                     trust_domain_, "\""));
  }
  if (IsReservedPath(id.path())) {
    return InvalidField("spiffe_id", absl::StrCat(id.text(),
                                                  " is reserved for the mesh itself; choose a path "
                                                  "outside /byrnie"));
  }
  if (ttl <= absl::ZeroDuration() || ttl > kMaxTtl) {
    return InvalidField("ttl", absl::StrCat("a join token cannot live ", absl::FormatDuration(ttl),
                                            "; give more than 0 and at most 24h"));
  }
  Created created{GenerateBearerToken(), "", clock_->WallNow() + ttl};
  const std::string hash = HashBearerToken(created.token.view());
  created.id = absl::BytesToHexString(hash);
  RETURN_IF_ERROR(AddJoinToken(store_, JoinTokenRecord{hash, id.text(), created.expires_at},
                               clock_->WallNow()));
  created_->Increment();
  return created;
}

absl::StatusOr<std::vector<JoinTokens::Listed>> JoinTokens::List(const std::string& after_id,
                                                                 int limit) {
  ASSIGN_OR_RETURN(
      std::vector<JoinTokenRecord> records,
      ListJoinTokens(store_, absl::HexStringToBytes(after_id), limit, clock_->WallNow()));
  std::vector<Listed> listed;
  for (JoinTokenRecord& record : records) {
    listed.push_back(
        {absl::BytesToHexString(record.hash), std::move(record.spiffe_id), record.expires_at});
  }
  return listed;
}

std::string JoinTokens::IdOf(absl::string_view id_or_secret) {
  const bool is_id = id_or_secret.size() == kIdSize &&
                     std::all_of(id_or_secret.begin(), id_or_secret.end(), [](char c) {
                       return absl::ascii_isxdigit(static_cast<unsigned char>(c));
                     });
  if (is_id) return absl::AsciiStrToLower(id_or_secret);
  return absl::BytesToHexString(HashBearerToken(id_or_secret));
}

absl::StatusOr<std::string> JoinTokens::Revoke(const std::string& id) {
  if (id.size() != kIdSize) return absl::NotFoundError("there is no such join token");
  const std::string hash = absl::HexStringToBytes(id);
  ASSIGN_OR_RETURN(JoinTokenRecord record, FindJoinToken(store_, hash, clock_->WallNow()));
  RETURN_IF_ERROR(ConsumeJoinToken(store_, hash, clock_->WallNow()));
  return std::move(record.spiffe_id);
}

absl::StatusOr<Attestor::Claim> JoinTokens::Check(absl::string_view credential, const Caller&) {
  if (LooksLikeJwt(credential)) return absl::NotFoundError("it is a JWT, and no join token");
  if (credential.empty() || credential.size() > kMaxCredential) {
    return Refused(absl::NotFoundError(""));
  }
  absl::StatusOr<JoinTokenRecord> record =
      FindJoinToken(store_, HashBearerToken(credential), clock_->WallNow());
  if (!record.ok()) return Refused(record.status());
  ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(record->spiffe_id));
  std::string token_id = absl::BytesToHexString(record->hash);
  return Claim{std::move(id), std::string(name()), std::move(token_id), std::move(record->hash)};
}

absl::Status JoinTokens::Redeem(const Claim& claim) {
  const absl::Status consumed = ConsumeJoinToken(store_, claim.handle, clock_->WallNow());
  return consumed.ok() ? consumed : Refused(consumed);
}

absl::StatusOr<bool> JoinTokens::RedeemNoting(const Claim& claim, const StoreEntry& note) {
  const absl::Status consumed =
      ConsumeJoinToken(store_, claim.handle, clock_->WallNow(), note.key.empty() ? nullptr : &note);
  if (!consumed.ok()) return Refused(consumed);
  return true;
}

// The store does not tell them apart.
absl::Status JoinTokens::Refused(const absl::Status& store_status) {
  if (!absl::IsNotFound(store_status)) return store_status;
  return RefuseCredential(RefusalReason::kUnknownToken,
                          "the join token is unknown, used or expired; make a new one with "
                          "byrniectl token create");
}

}  // namespace byrnie
