#include "controlplane/ca/jwt_key_keeper.h"

#include "controlplane/records/jwt_key_record.h"

namespace byrnie {

JwtKeyKeeper::JwtKeyKeeper(JwtAuthority* authority, Store* store, Logger* logger)
    : authority_(authority),
      logger_(logger),
      election_(store->Campaign("jwt_keys")),
      thread_([this] { Run(); }),
      watch_(store->Watch(kJwtKeyPrefix, this)) {}

JwtKeyKeeper::~JwtKeyKeeper() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  stopped_.NotifyAll();
  thread_.join();
}

absl::Status JwtKeyKeeper::Note(const absl::StatusOr<bool>& changed) {
  if (changed.ok() && *changed) changed_ = true;
  // What the store cannot do it has logged itself.
  if (!changed.ok() && !absl::IsUnavailable(changed.status())) {
    logger_->Error("cannot look after the keys of JWT-SVIDs",
                   {{"error", changed.status().message()}});
  }
  return changed.status();
}

absl::Status JwtKeyKeeper::OnReset() { return Note(authority_->Reload()); }

void JwtKeyKeeper::OnChanges(const std::vector<StoreChange>&) {
  // What fails here the next tick makes good.
  Note(authority_->Reload()).IgnoreError();
}

void JwtKeyKeeper::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; };
      if (stopped_.AwaitWithTimeout(&mu_, kTick, stopping)) return;
    }
    Note(authority_->RotateIfDue(leading())).IgnoreError();
  }
}

}  // namespace byrnie
