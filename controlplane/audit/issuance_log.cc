#include "controlplane/audit/issuance_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr int kMaxPage = 1000;
// Records that one Read looks at before it gives what it has.
constexpr int kMaxScanned = 10000;
constexpr absl::Duration kRetryInterval = absl::Seconds(1);
constexpr absl::Duration kTrimInterval = absl::Minutes(10), kTrimRetryInterval = absl::Minutes(1);

}  // namespace

IssuanceLog::IssuanceLog(IssuanceStore* store, IssuanceSpool* spool, Options options,
                         const Clock* clock, Logger* logger, MetricRegistry* metrics)
    : store_(store),
      options_(options),
      clock_(clock),
      logger_(logger),
      written_total_(metrics->AddCounter("byrnie_controlplane_issuance_log_written_total",
                                         "Issuances written to the issuance log.")),
      lost_total_(metrics->AddCounter(
          "byrnie_controlplane_issuance_log_lost_total",
          "Issuances that are not in the issuance log, because the store could not be written to "
          "for too long and there is no file for them (--issuance_spool).")),
      pending_(metrics->AddGauge("byrnie_controlplane_issuance_log_pending",
                                 "Issuances that wait to be written to the issuance log.")),
      memory_(spool == nullptr ? std::make_unique<MemorySpool>(lost_total_) : nullptr),
      spool_(spool == nullptr ? memory_.get() : spool),
      thread_([this] { Run(); }) {}

IssuanceLog::~IssuanceLog() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  work_.NotifyAll();
  thread_.join();
  // What nobody waits for, where the store has not taken it.
  absl::MutexLock lock(&mu_);
  while (!queue_.empty()) SpoolFront();
}

absl::Status IssuanceLog::TakeInSpooled() {
  int64_t moved = 0;
  while (true) {
    ASSIGN_OR_RETURN(const IssuanceSpool::Batch oldest, spool_->Oldest());
    if (oldest.keys.empty()) break;
    RETURN_IF_ERROR(store_->Append(oldest.records));
    RETURN_IF_ERROR(spool_->Remove(oldest));
    moved += static_cast<int64_t>(oldest.keys.size());
  }
  if (moved == 0) return absl::OkStatus();
  written_total_->Increment(static_cast<uint64_t>(moved));
  logger_->Info("issuances that an earlier process had to spool are in the log now",
                {{"issuances", moved}});
  absl::MutexLock lock(&mu_);
  ++late_writes_;
  return absl::OkStatus();
}

absl::Status IssuanceLog::Append(IssuanceRecord record) {
  Entry entry{std::move(record), false, absl::OkStatus()};
  absl::MutexLock lock(&mu_);
  queue_.push_back(&entry);
  work_.NotifyAll();
  ShowPending();
  const auto settled_or_away = [this, &entry]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return entry.settled || away_;
  };
  answered_.AwaitWithTimeout(&mu_, options_.longest_wait, settled_or_away);
  const auto settled_or_free = [this, &entry]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return entry.settled || !spooling_;
  };
  // One of those that wait writes for all.
  while (!entry.settled) {
    mu_.Await(absl::Condition(&settled_or_free));
    if (!entry.settled) SpoolFront();
  }
  return entry.status;
}

void IssuanceLog::AppendLater(IssuanceRecord record) {
  auto* const entry = new Entry{std::move(record), false, absl::OkStatus(), /*nobodys=*/true};
  absl::MutexLock lock(&mu_);
  queue_.push_back(entry);
  work_.NotifyAll();
  ShowPending();
}

IssuanceLog::Front IssuanceLog::TakeFront() const {
  Front front;
  const size_t size = std::min(queue_.size(), size_t{IssuanceStore::kMaxBatch});
  for (size_t i = 0; i < size; ++i) front.records.push_back(queue_[i]->record);
  front.end = first_ + size;
  return front;
}

// Of the store and the spool, which may be at work on the same entries, either settles them.
void IssuanceLog::Settle(uint64_t end, const absl::Status& status) {
  for (; first_ < end; ++first_) {
    Entry* const entry = queue_.front();
    queue_.pop_front();
    entry->settled = true;
    entry->status = status;
    if (!entry->nobodys) continue;
    if (!status.ok()) lost_total_->Increment();
    delete entry;
  }
  answered_.NotifyAll();
  ShowPending();
}

void IssuanceLog::SetAway(const absl::Status& status) {
  if (!status.ok() && !away_) {
    logger_->Error("issuances cannot be written to the log now, they are kept until they can",
                   {{"error", status.message()}});
  }
  away_ = !status.ok();
  if (away_) answered_.NotifyAll();
  away_why_ = std::string(status.message());
}

void IssuanceLog::SetSpooled(int64_t spooled) {
  const bool emptied = spooled <= 0 && spooled_ > 0;
  spooled_ = std::max(int64_t{0}, spooled);
  work_.NotifyAll();
  if (emptied) ++late_writes_;
  ShowPending();
}

void IssuanceLog::ShowPending() { pending_->Set(static_cast<int64_t>(queue_.size()) + spooled_); }

void IssuanceLog::SpoolFront() {
  spooling_ = true;
  const Front front = TakeFront();
  mu_.Unlock();
  absl::Status spooled = spool_->Append(front.records);
  mu_.Lock();
  spooling_ = false;
  if (spooled.ok()) {
    SetSpooled(spooled_ + static_cast<int64_t>(front.records.size()));
  } else {
    spooled = absl::UnavailableError(
        absl::StrCat("what is issued cannot be noted, so nothing is: the store does not take it",
                     away_why_.empty() ? " in time" : absl::StrCat(" (", away_why_, ")"),
                     ", and neither does --issuance_spool: ", spooled.message()));
  }
  Settle(front.end, spooled);
}

void IssuanceLog::Run() {
  while (true) {
    Front front;
    bool move = false, last_try = false;
    {
      absl::MutexLock lock(&mu_);
      const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return HasWork(); };
      const absl::Duration until_trim = next_trim_ - clock_->MonotonicNow();
      work_.AwaitWithTimeout(&mu_, std::clamp(until_trim, absl::ZeroDuration(), kTrimInterval),
                             has_work);
      last_try = stopping_;
      move = away_ || spooled_ > 0;
      // While the store is away, what waits in the spool finds out when it is back.
      if (!away_) front = TakeFront();
      if (stopping_ && !move && front.records.empty()) return;
    }
    bool went = front.records.empty() || WriteFront(front);
    if (went && move) went = MoveSpooled();
    TrimIfDue();
    if (went) continue;
    if (last_try) return;
    // Gates of a rotation wait for what has not been written yet.
    const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; };
    absl::MutexLock lock(&mu_);
    work_.AwaitWithTimeout(&mu_, kRetryInterval, stopping);
  }
}

bool IssuanceLog::WriteFront(const Front& front) {
  const absl::Status appended = store_->Append(front.records);
  absl::MutexLock lock(&mu_);
  SetAway(appended);
  if (!appended.ok()) return false;
  written_total_->Increment(front.records.size());
  Settle(front.end, absl::OkStatus());
  return true;
}

bool IssuanceLog::MoveSpooled() {
  int64_t before = 0;
  {
    absl::MutexLock lock(&mu_);
    before = spooled_;
  }
  const absl::StatusOr<IssuanceSpool::Batch> oldest = spool_->Oldest();
  if (!oldest.ok() || oldest->keys.empty()) {
    absl::MutexLock lock(&mu_);
    // Then the next issuance finds out whether the store is back.
    away_ = false;
    if (oldest.ok() && spooled_ == before) SetSpooled(0);
    if (!oldest.ok()) {
      Complain("issuances that wait cannot be read, and are not in the log until they can",
               oldest.status());
    }
    return oldest.ok();
  }
  const absl::Status appended = store_->Append(oldest->records);
  {
    absl::MutexLock lock(&mu_);
    SetAway(appended);
  }
  if (!appended.ok()) return false;
  const absl::Status removed = spool_->Remove(*oldest);
  if (!removed.ok()) {
    Complain("issuances that are in the log now cannot be taken from the spool", removed);
    return false;
  }
  complaint_.clear();
  written_total_->Increment(oldest->keys.size());
  absl::MutexLock lock(&mu_);
  // That none is left the spool itself says, the next time.
  SetSpooled(std::max(int64_t{1}, spooled_ - static_cast<int64_t>(oldest->keys.size())));
  return true;
}

void IssuanceLog::Complain(absl::string_view message, const absl::Status& status) {
  if (complaint_ == status.message()) return;
  complaint_ = std::string(status.message());
  logger_->Error(message, {{"error", complaint_}});
}

absl::optional<uint32_t> IssuanceLog::LateWrites() const {
  absl::MutexLock lock(&mu_);
  if (away_ || spooled_ > 0) return absl::nullopt;
  return late_writes_;
}

IssuanceLog::Backlog IssuanceLog::backlog() const {
  absl::MutexLock lock(&mu_);
  Backlog backlog;
  backlog.pending = queue_.size() + static_cast<size_t>(spooled_);
  backlog.failing = away_ || spooled_ > 0;
  backlog.lasting = memory_ == nullptr;
  backlog.lost = lost_total_->value();
  if (cut_to_ >= clock_->WallNow() - options_.keep_for) backlog.cut_to = cut_to_;
  return backlog;
}

void IssuanceLog::TrimIfDue() {
  if (clock_->MonotonicNow() < next_trim_) return;
  const absl::Time now = clock_->WallNow();
  const absl::StatusOr<IssuanceStore::Trimmed> trimmed =
      store_->Trim(now - std::max(options_.keep_for, options_.keep_at_least), options_.keep_most,
                   now - options_.keep_at_least);
  if (!trimmed.ok()) {
    logger_->Warning("the issuance log cannot be trimmed now",
                     {{"error", trimmed.status().message()}});
    next_trim_ = clock_->MonotonicNow() + kTrimRetryInterval;
    return;
  }
  if (trimmed->cut_to > absl::InfinitePast()) {
    absl::MutexLock lock(&mu_);
    cut_to_ = std::max(cut_to_, trimmed->cut_to);
  }
  // Bit by bit, between the writes, of which each adds no more than one bit: what is trimmed keeps
  // up with what comes, and whoever waits for a write waits for one bit at most.
  if (!trimmed->more) next_trim_ = clock_->MonotonicNow() + kTrimInterval;
}

absl::StatusOr<IssuanceStore::Page> IssuanceLog::Read(const Query& query) const {
  if (query.limit < 1 || query.limit > kMaxPage) {
    return absl::InvalidArgumentError(
        absl::StrCat("a page has 1 to ", kMaxPage, " issuances, not ", query.limit));
  }
  IssuanceStore::Page found;
  std::string after = query.page_token;
  for (int scanned = 0; scanned < kMaxScanned;) {
    ASSIGN_OR_RETURN(
        IssuanceStore::Page page,
        store_->Read(query.since, after,
                     std::min(kMaxPage, query.limit - static_cast<int>(found.records.size()))));
    scanned += static_cast<int>(page.records.size());
    for (IssuanceRecord& record : page.records) {
      if (record.issued_at >= query.until) {
        found.next.clear();
        return found;
      }
      if ((query.identity.empty() || record.identity == query.identity) &&
          (query.serial.empty() || record.serial == query.serial)) {
        found.records.push_back(std::move(record));
      }
    }
    found.next = after = page.next;
    if (page.next.empty() || static_cast<int>(found.records.size()) >= query.limit) return found;
  }
  return found;
}

absl::Status IssuanceLog::ForEachSince(
    absl::Time since, const std::function<void(const IssuanceRecord&)>& visit) const {
  std::string after;
  do {
    ASSIGN_OR_RETURN(IssuanceStore::Page page, store_->Read(since, after, kMaxPage));
    for (const IssuanceRecord& record : page.records) visit(record);
    after = page.next;
  } while (!after.empty());
  return absl::OkStatus();
}

}  // namespace byrnie
