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
constexpr absl::Duration kTrimInterval = absl::Minutes(10);

}  // namespace

constexpr absl::Duration IssuanceLog::kLongestWait;
constexpr size_t IssuanceLog::kMaxPending;

IssuanceLog::IssuanceLog(IssuanceStore* store, Options options, const Clock* clock, Logger* logger,
                         MetricRegistry* metrics)
    : store_(store),
      options_(options),
      clock_(clock),
      logger_(logger),
      written_total_(metrics->AddCounter("byrnie_controlplane_issuance_log_written_total",
                                         "Issuances written to the issuance log.")),
      lost_total_(metrics->AddCounter(
          "byrnie_controlplane_issuance_log_lost_total",
          "Issuances that are not in the issuance log, because the store could not be written to "
          "for too long.")),
      pending_(metrics->AddGauge("byrnie_controlplane_issuance_log_pending",
                                 "Issuances that wait to be written to the issuance log.")),
      thread_([this] { Run(); }) {}

IssuanceLog::~IssuanceLog() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void IssuanceLog::Append(IssuanceRecord record) {
  absl::MutexLock lock(&mu_);
  if (queue_.size() >= kMaxPending) {
    queue_.pop_front();
    ++done_;
    lost_total_->Increment();
  }
  queue_.push_back(std::move(record));
  const uint64_t number = ++newest_;
  pending_->Set(static_cast<int64_t>(queue_.size()));
  const auto settled = [this, number]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return done_ >= number || failing_ || stopping_;
  };
  mu_.AwaitWithTimeout(absl::Condition(&settled), kLongestWait);
}

void IssuanceLog::Run() {
  while (true) {
    std::vector<IssuanceRecord> batch;
    bool last_try = false;
    {
      absl::MutexLock lock(&mu_);
      const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return HasWork(); };
      mu_.AwaitWithTimeout(absl::Condition(&has_work), kTrimInterval);
      if (queue_.empty() && stopping_) return;
      last_try = stopping_;
      const size_t size = std::min(queue_.size(), size_t{IssuanceStore::kMaxBatch});
      batch.assign(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(size));
    }
    if (!batch.empty()) WriteOnce(std::move(batch));
    TrimIfDue();
    absl::MutexLock lock(&mu_);
    if (!failing_) continue;
    if (last_try) return;
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), kRetryInterval);
  }
}

void IssuanceLog::WriteOnce(std::vector<IssuanceRecord> batch) {
  const absl::Status appended = store_->Append(batch);
  absl::MutexLock lock(&mu_);
  if (!appended.ok()) {
    if (!failing_) {
      logger_->Error("issuances cannot be written to the log now, they are kept until they can",
                     {{"error", appended.message()}});
    }
    failing_ = true;
    return;
  }
  if (failing_) {
    failing_ = false;
    late_until_ = newest_;
    ++late_writes_;
  }
  written_total_->Increment(batch.size());
  // Some may have been dropped at the front meanwhile.
  const std::string last = batch.back().serial;
  while (!queue_.empty()) {
    const bool was_last = queue_.front().serial == last;
    queue_.pop_front();
    ++done_;
    if (was_last) break;
  }
  pending_->Set(static_cast<int64_t>(queue_.size()));
}

absl::optional<uint32_t> IssuanceLog::LateWrites() const {
  absl::MutexLock lock(&mu_);
  if (failing_ || done_ < late_until_) return absl::nullopt;
  return late_writes_;
}

void IssuanceLog::TrimIfDue() {
  if (clock_->MonotonicNow() < next_trim_) return;
  const absl::Time now = clock_->WallNow();
  const absl::StatusOr<bool> more =
      store_->Trim(now - std::max(options_.keep_for, options_.keep_at_least), options_.keep_most,
                   now - options_.keep_at_least);
  if (!more.ok()) {
    logger_->Warning("the issuance log cannot be trimmed now",
                     {{"error", more.status().message()}});
  }
  // Bit by bit, between the writes.
  next_trim_ = clock_->MonotonicNow() + (more.value_or(false) ? kRetryInterval : kTrimInterval);
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
