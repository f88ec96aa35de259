#include "controlplane/audit/stored_issuances.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "byrnie/store/v1/issuance.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

constexpr char kPrefix[] = "issuances/";

// Sorts before all that were issued at `time` or later.
std::string KeyAt(absl::Time time) {
  return absl::StrFormat(
      "%s%020d", kPrefix,
      std::max<int64_t>(0, absl::ToUnixMicros(std::max(time, absl::UnixEpoch()))));
}

std::string Encode(const IssuanceRecord& record) {
  byrnie::store::v1::Issuance out;
  ToProto(record.issued_at, out.mutable_issued_at());
  out.set_serial(record.serial);
  out.set_identity(record.identity);
  out.set_proof(record.proof);
  out.set_subject(record.subject);
  out.set_protocol(record.protocol);
  out.set_address(record.address);
  out.set_root(absl::HexStringToBytes(record.root));
  ToProto(record.not_after, out.mutable_not_after());
  out.set_replaces(record.replaces);
  out.set_newest_root(absl::HexStringToBytes(record.newest_root));
  for (const std::string& audience : record.audience) out.add_audience(audience);
  return out.SerializeAsString();
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// One that cannot be read keeps nobody from the others: it has no serial.
IssuanceRecord Decode(const std::string& value) {
  byrnie::store::v1::Issuance in;
  IssuanceRecord record;
  if (!in.ParseFromString(value)) return record;
  record.issued_at = TimeOf(in.issued_at());
  record.serial = in.serial();
  record.identity = in.identity();
  record.proof = in.proof();
  record.subject = in.subject();
  record.protocol = in.protocol();
  record.address = in.address();
  record.root = absl::BytesToHexString(in.root());
  record.not_after = TimeOf(in.not_after());
  record.replaces = in.replaces();
  record.newest_root = absl::BytesToHexString(in.newest_root());
  record.audience.assign(in.audience().begin(), in.audience().end());
  return record;
}

}  // namespace

absl::Status StoredIssuances::Append(const std::vector<IssuanceRecord>& records) {
  StoreTransaction transaction;
  for (const IssuanceRecord& record : records) {
    transaction.Put(absl::StrCat(KeyAt(record.issued_at), "/", record.serial), Encode(record));
  }
  return store_->Commit(transaction).status();
}

absl::StatusOr<IssuanceStore::Page> StoredIssuances::Read(absl::Time since,
                                                          const std::string& after, int limit) {
  if (!after.empty() && !absl::StartsWith(after, kPrefix)) {
    return absl::InvalidArgumentError("the page token is not of an earlier answer");
  }
  ASSIGN_OR_RETURN(Store::Page found, store_->List(kPrefix, std::max(after, KeyAt(since)), limit));
  Page page;
  for (const StoreEntry& entry : found.entries) page.records.push_back(Decode(entry.value));
  if (found.more) page.next = found.entries.back().key;
  return page;
}

absl::StatusOr<bool> StoredIssuances::Trim(absl::Time before, int64_t most, absl::Time keep_from) {
  ASSIGN_OR_RETURN(const int64_t count, store_->Count(kPrefix));
  ASSIGN_OR_RETURN(Store::Page oldest,
                   store_->List(kPrefix, "", static_cast<int>(StoreTransaction::kMaxOperations)));
  const std::string end = KeyAt(before), keep = KeyAt(keep_from);
  const int64_t surplus = count - most;
  StoreTransaction transaction;
  int64_t deleted = 0;
  for (const StoreEntry& entry : oldest.entries) {
    if (entry.key >= end && (deleted >= surplus || entry.key >= keep)) break;
    transaction.Delete(entry.key);
    ++deleted;
  }
  if (deleted == 0) return false;
  RETURN_IF_ERROR(store_->Commit(transaction).status());
  return deleted == static_cast<int64_t>(StoreTransaction::kMaxOperations);
}

}  // namespace byrnie
