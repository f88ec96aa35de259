#include "certagent/workload_api/caller_table.h"

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

std::string PeerName(int fd) { return absl::StrCat("fd:", fd); }

}  // namespace

uint64_t CallerTable::Add(int fd, bool allowed) {
  absl::MutexLock lock(&mu_);
  entries_[PeerName(fd)] = Entry{++last_ticket_, allowed};
  return last_ticket_;
}

void CallerTable::Remove(int fd, uint64_t ticket) {
  absl::MutexLock lock(&mu_);
  auto it = entries_.find(PeerName(fd));
  if (it != entries_.end() && it->second.ticket == ticket) entries_.erase(it);
}

absl::Status CallerTable::Check(const std::string& grpc_peer) const {
  absl::MutexLock lock(&mu_);
  auto it = entries_.find(grpc_peer);
  if (it != entries_.end() && it->second.allowed) return absl::OkStatus();
  return absl::PermissionDeniedError("the caller's user has no identity here");
}

}  // namespace byrnie
