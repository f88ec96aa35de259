#include "controlplane/audit/certificate_lineage.h"

#include <algorithm>
#include <tuple>

#include "common/base/status_macros.h"

namespace byrnie {
namespace {

// By how much the clocks of two control planes that share a log may differ.
constexpr absl::Duration kSkew = absl::Minutes(10);

}  // namespace

absl::StatusOr<bool> CertificateLineage::Update(const IssuanceLog& log) {
  bool more = false;
  absl::Time first = absl::InfiniteFuture();
  RETURN_IF_ERROR(log.ForEachSince(begins_, [&](const IssuanceRecord& record) {
    if (record.serial == serial_) {
      more = more || !itself_.has_value();
      itself_ = record;
    } else if (!serials_.contains(record.serial) && IsRenewal(record)) {
      serials_.insert(record.serial);
      renewed_.push_back(record);
      more = true;
    } else {
      NoteOther(record);
      return;
    }
    first = std::min(first, record.issued_at);
  }));
  // What there is not at all is looked for everywhere again.
  if (begins_ == absl::InfinitePast() && first != absl::InfiniteFuture()) begins_ = first - kSkew;
  return more;
}

bool CertificateLineage::IsRenewal(const IssuanceRecord& record) const {
  return !record.replaces.empty() &&
         (record.replaces == serial_ || serials_.contains(record.replaces));
}

void CertificateLineage::NoteOther(const IssuanceRecord& record) {
  if (record.proof == kUnreadableProof) {
    damaged_.try_emplace(record.serial, Damaged{record});
    return;
  }
  // It was mended meanwhile.
  damaged_.erase(record.serial);
  if (damaged_.empty() || record.replaces.empty()) return;
  const auto way_back = goes_back_to_.find(record.replaces);
  const std::string first = way_back == goes_back_to_.end() ? record.replaces : way_back->second;
  const auto damaged = damaged_.find(first);
  if (damaged == damaged_.end()) return;
  damaged->second.identity = record.identity;
  damaged->second.ends = std::max(damaged->second.ends, record.not_after);
  goes_back_to_[record.serial] = first;
}

std::string CertificateLineage::identity() const {
  if (itself_.has_value() && itself_->proof != kUnreadableProof) return itself_->identity;
  for (const IssuanceRecord& record : renewed_) {
    if (record.proof != kUnreadableProof) return record.identity;
  }
  return "";
}

std::vector<IssuanceRecord> CertificateLineage::Doubtful(absl::Time now,
                                                         absl::Duration longest_life) const {
  std::vector<IssuanceRecord> doubtful;
  const std::string own = identity();
  for (const auto& [serial, damaged] : damaged_) {
    const absl::Time issued_at = damaged.record.issued_at;
    if (serials_.contains(serial)) continue;
    if (itself_.has_value() && issued_at < itself_->issued_at - kSkew) continue;
    if (!own.empty() && !damaged.identity.empty() && damaged.identity != own) continue;
    if (issued_at + longest_life <= now && damaged.ends <= now) continue;
    doubtful.push_back(damaged.record);
  }
  std::sort(doubtful.begin(), doubtful.end(), [](const IssuanceRecord& a, const IssuanceRecord& b) {
    return std::tie(a.issued_at, a.serial) < std::tie(b.issued_at, b.serial);
  });
  return doubtful;
}

}  // namespace byrnie
