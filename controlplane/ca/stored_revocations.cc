#include "controlplane/ca/stored_revocations.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "byrnie/store/v1/revocation.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/records/record_value.h"

namespace byrnie {
namespace {

constexpr char kPrefix[] = "revoked/";
// The DER of a list, by the fingerprint of its issuer.
constexpr char kListPrefix[] = "revocation_lists/";

// Nobody knows when the certificate ends, so that it is not forgotten.
RevokedCertificate RevokedForGood(const std::string& serial) {
  RevokedCertificate revoked;
  revoked.serial = serial;
  revoked.not_after = absl::FromUnixSeconds(253'402'300'799);  // The last second of the year 9999.
  revoked.revoked_at = absl::UnixEpoch();
  revoked.reason = "the record of the revocation cannot be read";
  return revoked;
}

}  // namespace

absl::StatusOr<std::vector<RevokedCertificate>> StoredRevocations::Load() {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store_, kPrefix));
  std::vector<RevokedCertificate> all;
  std::vector<UnreadableRecord> unreadable;
  for (const StoreEntry& entry : entries) {
    byrnie::store::v1::Revocation in;
    RevokedCertificate revoked;
    revoked.serial = entry.key.substr(sizeof(kPrefix) - 1);
    const bool parsed = in.ParseFromString(entry.value);
    const absl::optional<absl::Time> not_after = RecordTime(in.has_not_after(), in.not_after());
    const absl::optional<absl::Time> revoked_at = RecordTime(in.has_revoked_at(), in.revoked_at());
    if (!parsed || !not_after.has_value() || !revoked_at.has_value()) {
      // What is left out here would be trusted.
      const bool known = Revocations::CheckSerial(revoked.serial).ok();
      if (known) all.push_back(RevokedForGood(revoked.serial));
      if (unreadable_ == nullptr) continue;
      unreadable.push_back(
          {entry.key, "the record is damaged",
           known ? "the certificate of that serial number is revoked, for as long as the record is "
                   "there"
                 : "no certificate can have this serial number, so nothing is revoked by it",
           unreadable_->DeleteByHand(entry.key)});
      continue;
    }
    revoked.not_after = *not_after;
    revoked.revoked_at = *revoked_at;
    revoked.identity = in.identity();
    revoked.by = in.by();
    revoked.reason = in.reason();
    all.push_back(std::move(revoked));
  }
  if (unreadable_ != nullptr) {
    unreadable_->Set(UnreadableRecords::Kind::kRevocation, std::move(unreadable));
  }
  return all;
}

absl::StatusOr<bool> StoredRevocations::Add(const RevokedCertificate& revoked) {
  byrnie::store::v1::Revocation out;
  out.set_identity(revoked.identity);
  ToProto(revoked.not_after, out.mutable_not_after());
  ToProto(revoked.revoked_at, out.mutable_revoked_at());
  out.set_by(revoked.by);
  out.set_reason(revoked.reason);
  StoreTransaction transaction;
  const std::string key = absl::StrCat(kPrefix, revoked.serial);
  transaction.RequireAbsent(key).Put(key, out.SerializeAsString());
  const absl::Status done = store_->Commit(transaction).status();
  if (absl::IsAborted(done)) {
    ASSIGN_OR_RETURN(const absl::optional<StoreEntry> there, store_->Get(key));
    if (there.has_value()) return false;
    return absl::UnavailableError("the store has changed meanwhile; revoke it again");
  }
  RETURN_IF_ERROR(UnknownAsUnavailable(done, "revoke it again to be sure that it is"));
  return true;
}

absl::StatusOr<std::vector<KeptList>> StoredRevocations::LoadLists(
    const std::vector<KeptList>& known) {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store_, kListPrefix));
  std::vector<KeptList> lists;
  std::vector<UnreadableRecord> unreadable;
  for (StoreEntry& entry : entries) {
    const auto same = std::find_if(known.begin(), known.end(), [&entry](const KeptList& kept) {
      return kept.list->der() == entry.value;
    });
    KeptList kept{entry.key.substr(sizeof(kListPrefix) - 1), nullptr};
    if (same != known.end()) {
      kept.list = same->list;
    } else {
      absl::StatusOr<RevocationListPtr> list = RevocationList::FromDer(entry.value);
      if (!list.ok()) {
        if (unreadable_ == nullptr) continue;
        unreadable.push_back(
            {entry.key, std::string(list.status().message()),
             "the list is written anew by whoever has its issuer's key; where nobody has, "
             "certificates of that issuer are refused while something is revoked",
             unreadable_->DeleteByHand(entry.key)});
        continue;
      }
      kept.list = *std::move(list);
    }
    lists.push_back(std::move(kept));
  }
  if (unreadable_ != nullptr) {
    unreadable_->Set(UnreadableRecords::Kind::kRevocationList, std::move(unreadable));
  }
  return lists;
}

absl::Status StoredRevocations::KeepList(const KeptList& kept) {
  StoreTransaction transaction;
  transaction.Put(absl::StrCat(kListPrefix, kept.issuer), kept.list->der());
  return UnknownAsUnavailable(store_->Commit(transaction).status(), "it is tried again");
}

absl::Status StoredRevocations::RemoveList(const std::string& issuer) {
  StoreTransaction transaction;
  transaction.Delete(absl::StrCat(kListPrefix, issuer));
  return UnknownAsUnavailable(store_->Commit(transaction).status(), "it is tried again");
}

absl::Status StoredRevocations::Remove(const std::string& serial) {
  StoreTransaction transaction;
  transaction.Delete(absl::StrCat(kPrefix, serial));
  return UnknownAsUnavailable(store_->Commit(transaction).status(), "it is tried again");
}

}  // namespace byrnie
