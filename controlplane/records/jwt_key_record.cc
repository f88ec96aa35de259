#include "controlplane/records/jwt_key_record.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "byrnie/store/v1/jwt_key.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/records/record_value.h"

namespace byrnie {
namespace {

struct Numbered {
  int64_t number;
  JwtKeyRecord key;
};

std::string KeyOf(int64_t number) { return absl::StrFormat("%s%010d", kJwtKeyPrefix, number); }

absl::StatusOr<Numbered> Parse(StoreEntry* entry) {
  byrnie::store::v1::JwtKey value;
  const bool parsed = value.ParseFromString(entry->value);
  WipeString(&entry->value);
  Numbered out;
  out.key.key_pkcs8 = SecretBytes::TakeFrom(value.mutable_key_pkcs8());
  out.key.id = value.id();
  const auto signs_from = RecordTime(value.has_signs_from(), value.signs_from());
  const auto not_after = RecordTime(value.has_not_after(), value.not_after());
  if (!parsed || out.key.id.empty() || !signs_from.has_value() || !not_after.has_value() ||
      !absl::SimpleAtoi(absl::StripPrefix(entry->key, kJwtKeyPrefix), &out.number)) {
    return DamagedRecord(entry->key);
  }
  out.key.signs_from = *signs_from;
  out.key.not_after = *not_after;
  out.key.record = entry->key;
  return out;
}

absl::StatusOr<std::vector<Numbered>> LoadAll(Store* store, std::vector<std::string>* damaged) {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store, kJwtKeyPrefix));
  std::vector<Numbered> keys;
  for (StoreEntry& entry : entries) {
    absl::StatusOr<Numbered> key = Parse(&entry);
    if (key.ok()) {
      keys.push_back(*std::move(key));
    } else {
      damaged->push_back(entry.key);
    }
  }
  return keys;
}

}  // namespace

absl::StatusOr<std::vector<JwtKeyRecord>> LoadJwtKeys(Store* store, absl::Time now,
                                                      std::vector<std::string>* damaged) {
  ASSIGN_OR_RETURN(std::vector<Numbered> all, LoadAll(store, damaged));
  std::vector<JwtKeyRecord> keys;
  for (Numbered& numbered : all) {
    if (numbered.key.not_after > now) keys.push_back(std::move(numbered.key));
  }
  std::sort(keys.begin(), keys.end(), [](const JwtKeyRecord& a, const JwtKeyRecord& b) {
    return std::tie(a.signs_from, a.id) < std::tie(b.signs_from, b.id);
  });
  return keys;
}

absl::Status AddJwtKey(Store* store, const JwtKeyRecord& key, absl::Time after, absl::Time now) {
  std::vector<std::string> damaged;
  ASSIGN_OR_RETURN(const std::vector<Numbered> all, LoadAll(store, &damaged));
  StoreTransaction transaction;
  int64_t number = 1;
  // What cannot be read keeps its place.
  for (const std::string& record : damaged) {
    int64_t taken = 0;
    if (absl::SimpleAtoi(absl::StripPrefix(record, kJwtKeyPrefix), &taken) &&
        taken < std::numeric_limits<int64_t>::max()) {
      number = std::max(number, taken + 1);
    }
  }
  for (const Numbered& other : all) {
    number = std::max(number, other.number + 1);
    if (other.key.not_after <= now) {
      // A few hundred that nobody has forgotten for years go in several steps.
      if (transaction.writes().size() + 1 < StoreTransaction::kMaxOperations) {
        transaction.Delete(KeyOf(other.number)).EraseReplaced();
      }
      continue;
    }
    if (other.key.id == key.id || other.key.signs_from > after) {
      return absl::AlreadyExistsError("store: there is a later JWT key already");
    }
  }
  // Whoever was faster has taken that number, and its key signs later, too.
  transaction.RequireAbsent(KeyOf(number));
  PutJwtKey(key, number, &transaction);
  const absl::Status added = store->Commit(transaction).status();
  transaction.WipeValues();
  if (absl::IsAborted(added)) {
    return absl::AlreadyExistsError("store: there is a later JWT key already");
  }
  return UnknownAsUnavailable(added, "it is tried again; the key that is kept then counts");
}

absl::Status ReplaceJwtKey(Store* store, const JwtKeyRecord& key) {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store, kJwtKeyPrefix));
  absl::Status result = absl::NotFoundError("store: there is no such JWT key");
  for (StoreEntry& entry : entries) {
    const int64_t revision = entry.revision;
    const absl::StatusOr<Numbered> there = Parse(&entry);
    if (!there.ok() || there->key.id != key.id) continue;
    StoreTransaction transaction;
    transaction.RequireRevision(entry.key, revision);
    PutJwtKey(key, there->number, &transaction);
    transaction.EraseReplaced();
    result = UnknownAsUnavailable(store->Commit(transaction).status(), "start again");
    transaction.WipeValues();
  }
  return result;
}

void PutJwtKey(const JwtKeyRecord& key, int64_t number, StoreTransaction* transaction) {
  byrnie::store::v1::JwtKey value;
  value.set_id(key.id);
  value.set_key_pkcs8(key.key_pkcs8.view().data(), key.key_pkcs8.size());
  ToProto(key.signs_from, value.mutable_signs_from());
  ToProto(key.not_after, value.mutable_not_after());
  transaction->Put(KeyOf(number), value.SerializeAsString());
  WipeString(value.mutable_key_pkcs8());
}

}  // namespace byrnie
