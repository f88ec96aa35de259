#include "controlplane/trust/stored_trust.h"

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/store/v1/trust.pb.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/records/authority_record.h"
#include "controlplane/records/record_value.h"
#include "controlplane/trust/trust_codec.h"

namespace byrnie {
namespace {

// What controlplane/records/authority_record.h keeps.
constexpr char kLegacyKey[] = "authority";

std::vector<std::string> KeysOf(const TrustRecord& record) {
  std::vector<std::string> keys = {record.current.stored_key};
  if (record.rotation.has_value()) keys.push_back(record.rotation->next.stored_key);
  return keys;
}

// Whether a key of `before` is not in `after` as it is stored: its root is gone, or it is sealed
// anew.
bool TakesKeyOut(const TrustRecord& before, const TrustRecord& after) {
  std::vector<std::string> had = KeysOf(before), has = KeysOf(after);
  const bool takes = std::any_of(had.begin(), had.end(), [&has](const std::string& key) {
    return std::find(has.begin(), has.end(), key) == has.end();
  });
  for (std::vector<std::string>* keys : {&had, &has}) {
    for (std::string& key : *keys) WipeString(&key);
  }
  return takes;
}

}  // namespace

constexpr char StoredTrust::kKey[];
constexpr char StoredTrust::kTimeKey[];

absl::StatusOr<absl::optional<TrustStore::Versioned>> StoredTrust::Load() {
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store_->Get(kKey));
  if (!entry.has_value()) return absl::optional<Versioned>();
  absl::StatusOr<TrustRecord> record = DecodeTrustRecord(entry->value);
  WipeString(&entry->value);
  if (!record.ok()) return record.status();
  return absl::optional<Versioned>(Versioned{*std::move(record), entry->revision});
}

absl::StatusOr<int64_t> StoredTrust::Commit(const TrustRecord& record, int64_t revision) {
  StoreTransaction transaction;
  transaction.RequireRevision(kKey, revision).Put(kKey, EncodeTrustRecord(record));
  if (revision == 0) {
    transaction.Delete(kLegacyKey).EraseReplaced();
  } else {
    // To erase is dear, and holds up whoever issues: only where a key goes. What cannot be read may
    // have had one.
    const absl::StatusOr<absl::optional<Versioned>> present = Load();
    if (!present.ok() || !present->has_value() || TakesKeyOut((*present)->record, record)) {
      transaction.EraseReplaced();
    }
  }
  absl::StatusOr<int64_t> committed = store_->Commit(transaction);
  transaction.WipeValues();
  return committed;
}

absl::StatusOr<TrustStore::KeptTime> StoredTrust::LoadTime() {
  ASSIGN_OR_RETURN(const absl::optional<StoreEntry> entry, store_->Get(kTimeKey));
  if (!entry.has_value()) return KeptTime();
  byrnie::store::v1::SettledTime in;
  KeptTime kept{absl::nullopt, entry->revision};
  if (in.ParseFromString(entry->value)) kept.time = RecordTime(in.has_time(), in.time());
  return kept;
}

absl::Status StoredTrust::KeepTime(absl::Time time, int64_t revision, int64_t trust_revision) {
  byrnie::store::v1::SettledTime out;
  ToProto(time, out.mutable_time());
  StoreTransaction transaction;
  transaction.RequireRevision(kKey, trust_revision)
      .RequireRevision(kTimeKey, revision)
      .Put(kTimeKey, out.SerializeAsString());
  return store_->Commit(transaction).status();
}

absl::StatusOr<absl::optional<RootRecord>> StoredTrust::LoadLegacyRoot(
    const std::string& trust_domain) {
  ASSIGN_OR_RETURN(absl::optional<AuthorityRecord> legacy, LoadAuthority(store_));
  if (!legacy.has_value()) return absl::optional<RootRecord>();
  if (legacy->trust_domain != trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the store holds the authority of trust domain \"", legacy->trust_domain, "\", not of \"",
        trust_domain, "\"; give --trust_domain=", legacy->trust_domain, " or another --store"));
  }
  return absl::optional<RootRecord>(RootRecord{Sha256FingerprintHex(legacy->root_der),
                                               legacy->root_der,
                                               std::string(legacy->key_pkcs8.view())});
}

}  // namespace byrnie
