#include "controlplane/records/authority_record.h"

#include "byrnie/store/v1/authority.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/records/record_value.h"

namespace byrnie {
namespace {

constexpr char kKey[] = "authority";

}  // namespace

absl::StatusOr<absl::optional<AuthorityRecord>> LoadAuthority(Store* store) {
  ASSIGN_OR_RETURN(absl::optional<StoreEntry> entry, store->Get(kKey));
  if (!entry.has_value()) return absl::optional<AuthorityRecord>();
  byrnie::store::v1::Authority value;
  const bool parsed = value.ParseFromString(entry->value);
  WipeString(&entry->value);
  AuthorityRecord record;
  record.key_pkcs8 = SecretBytes::TakeFrom(value.mutable_key_pkcs8());
  record.trust_domain = value.trust_domain();
  record.root_der = value.root_der();
  if (!parsed || record.trust_domain.empty()) return DamagedRecord(kKey);
  return absl::optional<AuthorityRecord>(std::move(record));
}

absl::Status CreateAuthority(Store* store, const AuthorityRecord& authority) {
  StoreTransaction transaction;
  transaction.RequireAbsent(kKey);
  PutAuthority(authority, &transaction);
  const absl::Status created = store->Commit(transaction).status();
  transaction.WipeValues();
  if (absl::IsAborted(created)) {
    return absl::AlreadyExistsError("store: there is a certificate authority already");
  }
  return UnknownAsUnavailable(created, "start again: the authority that is kept then counts");
}

void PutAuthority(const AuthorityRecord& authority, StoreTransaction* transaction) {
  byrnie::store::v1::Authority value;
  value.set_trust_domain(authority.trust_domain);
  value.set_root_der(authority.root_der);
  value.set_key_pkcs8(authority.key_pkcs8.view().data(), authority.key_pkcs8.size());
  transaction->Put(kKey, value.SerializeAsString());
  WipeString(value.mutable_key_pkcs8());
}

}  // namespace byrnie
