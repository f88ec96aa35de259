#include "controlplane/audit/certificate_lineage.h"

#include <algorithm>

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
    } else if (!record.replaces.empty() && !serials_.contains(record.serial) &&
               (record.replaces == serial_ || serials_.contains(record.replaces))) {
      serials_.insert(record.serial);
      renewed_.push_back(record);
      more = true;
    } else {
      return;
    }
    first = std::min(first, record.issued_at);
  }));
  // What there is not at all is looked for everywhere again.
  if (begins_ == absl::InfinitePast() && first != absl::InfiniteFuture()) begins_ = first - kSkew;
  return more;
}

}  // namespace byrnie
