#include "controlplane/records/join_token_record.h"

#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "byrnie/store/v1/join_token.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/records/record_value.h"

namespace byrnie {
namespace {

constexpr char kTokens[] = "join_tokens/";
constexpr char kEnds[] = "join_token_ends/";
constexpr int kEndDigits = 20;
// Expired tokens that go in one transaction, two keys each.
constexpr int kSweepBatch = 40;
// Nobody who adds a token pays for more of them, unless there is no room.
constexpr int kSweepBatches = 4;

std::string TokenKey(absl::string_view hash) {
  return absl::StrCat(kTokens, absl::BytesToHexString(hash));
}

std::string EndKey(absl::string_view hash, absl::Time expires_at) {
  return absl::StrFormat("%s%0*d/%s", kEnds, kEndDigits, absl::ToUnixMicros(expires_at),
                         absl::BytesToHexString(hash));
}

absl::Status UnknownToken() {
  return absl::NotFoundError("store: the join token is unknown, used or expired");
}

// Forgets up to kSweepBatch tokens that have expired; false when there were fewer.
absl::StatusOr<bool> Sweep(Store* store, absl::Time now) {
  ASSIGN_OR_RETURN(Store::Page page, store->List(kEnds, "", kSweepBatch));
  StoreTransaction sweep;
  int expired = 0;
  for (const StoreEntry& entry : page.entries) {
    absl::string_view rest = entry.key;
    absl::ConsumePrefix(&rest, kEnds);
    int64_t end_us;
    if (!absl::SimpleAtoi(rest.substr(0, kEndDigits), &end_us) || rest.size() <= kEndDigits) {
      return DamagedRecord(entry.key);
    }
    if (absl::FromUnixMicros(end_us) > now) break;
    // Who made the same token anew since, with another end, keeps it.
    sweep.RequireRevision(entry.key, entry.revision)
        .Delete(entry.key)
        .Delete(absl::StrCat(kTokens, rest.substr(kEndDigits + 1)));
    ++expired;
  }
  if (expired == 0) return false;
  const absl::Status swept = store->Commit(sweep).status();
  // Somebody else has been at it.
  if (!swept.ok() && !absl::IsAborted(swept)) {
    return UnknownAsUnavailable(swept, "try again: expired join tokens were to be forgotten");
  }
  return expired == kSweepBatch;
}

absl::Status MakeRoom(Store* store, absl::Time now) {
  for (int batch = 1;; ++batch) {
    ASSIGN_OR_RETURN(const bool more, Sweep(store, now));
    if (more && batch < kSweepBatches) continue;
    ASSIGN_OR_RETURN(const int64_t count, store->Count(kTokens));
    if (count < kMaxJoinTokens) return absl::OkStatus();
    if (!more) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "store: ", kMaxJoinTokens, " join tokens are waiting to be used; let some expire"));
    }
  }
}

absl::StatusOr<JoinTokenRecord> Parse(const StoreEntry& entry, const std::string& hash) {
  byrnie::store::v1::JoinToken value;
  const bool parsed = value.ParseFromString(entry.value);
  const auto expires_at = RecordTime(value.has_expires_at(), value.expires_at());
  if (!parsed || value.spiffe_id().empty() || !expires_at.has_value()) {
    return DamagedRecord(entry.key);
  }
  return JoinTokenRecord{hash, value.spiffe_id(), *expires_at};
}

// The record, expired or not, and the revision of its entry.
absl::StatusOr<std::pair<JoinTokenRecord, int64_t>> Load(Store* store, const std::string& hash) {
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store->Get(TokenKey(hash)));
  if (!entry.has_value()) return UnknownToken();
  ASSIGN_OR_RETURN(JoinTokenRecord record, Parse(*entry, hash));
  return std::make_pair(std::move(record), entry->revision);
}

}  // namespace

absl::Status AddJoinToken(Store* store, const JoinTokenRecord& token, absl::Time now) {
  RETURN_IF_ERROR(MakeRoom(store, now));
  StoreTransaction transaction;
  transaction.RequireAbsent(TokenKey(token.hash));
  PutJoinToken(token, &transaction);
  const absl::Status added = store->Commit(transaction).status();
  if (absl::IsAborted(added)) {
    return absl::AlreadyExistsError("store: the join token is known already");
  }
  return UnknownAsUnavailable(added, "make another token; one that nobody knows does no harm");
}

absl::StatusOr<JoinTokenRecord> FindJoinToken(Store* store, const std::string& hash,
                                              absl::Time now) {
  ASSIGN_OR_RETURN(auto found, Load(store, hash));
  if (found.first.expires_at <= now) return UnknownToken();
  return std::move(found.first);
}

absl::StatusOr<std::vector<JoinTokenRecord>> ListJoinTokens(Store* store,
                                                            const std::string& after_hash,
                                                            int limit, absl::Time now) {
  std::vector<JoinTokenRecord> found;
  std::string after = after_hash.empty() ? "" : TokenKey(after_hash);
  // Expired ones that nobody has swept are passed over, not counted.
  for (bool more = true; more && found.size() < static_cast<size_t>(limit);) {
    ASSIGN_OR_RETURN(Store::Page page, store->List(kTokens, after, limit));
    for (const StoreEntry& entry : page.entries) {
      if (found.size() == static_cast<size_t>(limit)) return found;
      const std::string hash = absl::HexStringToBytes(absl::StripPrefix(entry.key, kTokens));
      ASSIGN_OR_RETURN(JoinTokenRecord record, Parse(entry, hash));
      after = entry.key;
      if (record.expires_at > now) found.push_back(std::move(record));
    }
    more = page.more;
  }
  return found;
}

absl::Status ConsumeJoinToken(Store* store, const std::string& hash, absl::Time now,
                              const StoreEntry* note) {
  ASSIGN_OR_RETURN(const auto found, Load(store, hash));
  if (found.first.expires_at <= now) return UnknownToken();
  StoreTransaction transaction;
  transaction.RequireRevision(TokenKey(hash), found.second)
      .Delete(TokenKey(hash))
      .Delete(EndKey(hash, found.first.expires_at));
  if (note != nullptr) transaction.Put(note->key, note->value);
  const absl::Status used = store->Commit(transaction).status();
  if (absl::IsAborted(used)) return UnknownToken();
  return UnknownAsUnavailable(used, "try again, and with a new token if this one is refused");
}

void PutJoinToken(const JoinTokenRecord& token, StoreTransaction* transaction) {
  byrnie::store::v1::JoinToken value;
  value.set_spiffe_id(token.spiffe_id);
  ToProto(token.expires_at, value.mutable_expires_at());
  transaction->Put(TokenKey(token.hash), value.SerializeAsString());
  transaction->Put(EndKey(token.hash, token.expires_at), "");
}

}  // namespace byrnie
