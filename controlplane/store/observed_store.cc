#include "controlplane/store/observed_store.h"

namespace byrnie {
namespace {

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// The engine or its disk, not what was asked for.
bool IsFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kResourceExhausted:
      return false;
    default:
      return true;
  }
}

}  // namespace

ObservedStore::ObservedStore(Store* store, const Clock* clock, Logger* logger,
                             MetricRegistry* metrics)
    : store_(store),
      clock_(clock),
      logger_(logger),
      failures_(metrics->AddCounter(
          "byrnie_controlplane_store_failures_total",
          "Calls of the store that failed because its engine or its disk did.")) {}

template <typename T>
T ObservedStore::Note(T result) {
  NoteStatus(StatusOf(result));
  return result;
}

void ObservedStore::NoteStatus(const absl::Status& status) {
  if (!IsFailure(status)) return;
  failures_->Increment();
  absl::optional<uint64_t> unsaid;
  {
    absl::MutexLock lock(&mutex_);
    unsaid = said_.Admit(status.message(), clock_->MonotonicNow());
  }
  if (!unsaid.has_value()) return;
  logger_->Error("store failed", {{"reason", status.message()}, {"not_logged", *unsaid}});
}

absl::StatusOr<absl::optional<AuthorityRecord>> ObservedStore::LoadAuthority() {
  return Note(store_->LoadAuthority());
}

absl::Status ObservedStore::CreateAuthority(const AuthorityRecord& authority) {
  return Note(store_->CreateAuthority(authority));
}

absl::Status ObservedStore::AddJoinToken(const JoinTokenRecord& token, absl::Time now) {
  return Note(store_->AddJoinToken(token, now));
}

absl::StatusOr<JoinTokenRecord> ObservedStore::FindJoinToken(const std::string& hash,
                                                             absl::Time now) {
  return Note(store_->FindJoinToken(hash, now));
}

absl::Status ObservedStore::ConsumeJoinToken(const std::string& hash, absl::Time now) {
  return Note(store_->ConsumeJoinToken(hash, now));
}

absl::StatusOr<std::vector<JwtKeyRecord>> ObservedStore::LoadJwtKeys(absl::Time now) {
  return Note(store_->LoadJwtKeys(now));
}

absl::Status ObservedStore::AddJwtKey(const JwtKeyRecord& key, absl::Time after, absl::Time now) {
  return Note(store_->AddJwtKey(key, after, now));
}

absl::StatusOr<absl::optional<std::string>> ObservedStore::LoadOperatorTokenHash() {
  return Note(store_->LoadOperatorTokenHash());
}

absl::Status ObservedStore::SetOperatorTokenHash(const std::string& hash) {
  return Note(store_->SetOperatorTokenHash(hash));
}

}  // namespace byrnie
