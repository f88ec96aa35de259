#include "controlplane/discovery/name_budget.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {

constexpr size_t NameBudget::kStreamBytes;
constexpr size_t NameBudget::kMaxIdentityBytes;
constexpr size_t NameBudget::kMaxBytes;
constexpr size_t NameBudget::kAlwaysBytes;

absl::StatusOr<std::unique_ptr<NameBudget::Share>> NameBudget::Open(const std::string& identity) {
  auto share = absl::WrapUnique(new Share(this, identity));
  RETURN_IF_ERROR(share->Hold(0));
  return share;
}

NameBudget::Share::~Share() {
  if (bytes_ == 0) return;
  absl::MutexLock lock(&budget_->mu_);
  const auto held = budget_->held_.find(identity_);
  held->second -= bytes_;
  budget_->total_ -= bytes_;
  if (held->second == 0) budget_->held_.erase(held);
}

absl::Status NameBudget::Share::Hold(size_t bytes) {
  bytes += kStreamBytes;
  if (bytes == bytes_) return absl::OkStatus();
  absl::MutexLock lock(&budget_->mu_);
  const auto held = budget_->held_.find(identity_);
  const size_t others = held == budget_->held_.end() ? 0 : held->second - bytes_;
  if (bytes > bytes_ && others + bytes > kMaxIdentityBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all discovery streams of ", identity_, " together would hold ",
                     others + bytes, " bytes of resource names and of what they were sent, ",
                     kStreamBytes, " for each stream included; they may hold ", kMaxIdentityBytes,
                     ": have fewer, or subscribe to everything with \"*\""));
  }
  const size_t total = budget_->total_ - bytes_ + bytes;
  if (bytes > bytes_ && total > kMaxBytes && others + bytes > kAlwaysBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all discovery streams together would hold ", total, " bytes, they may hold ",
                     kMaxBytes, ", and those of ", identity_,
                     " are among those that hold most: have fewer, subscribe to "
                     "everything with \"*\", or run more control planes"));
  }
  budget_->total_ = total;
  budget_->held_[identity_] = others + bytes;
  bytes_ = bytes;
  return absl::OkStatus();
}

}  // namespace byrnie
