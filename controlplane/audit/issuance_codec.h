#ifndef BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_CODEC_H_
#define BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_CODEC_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// Issuances as entries of a Store: keys that sort by time, and values.

inline constexpr char kIssuancePrefix[] = "issuances/";

// Sorts before the keys of all that were issued at `time` or later.
std::string IssuanceKeyAt(absl::Time time);
std::string IssuanceKey(const IssuanceRecord& record);
// Whether IssuanceKey() may have given it.
bool IsIssuanceKey(absl::string_view key);

// With a checksum, so that damage is seen. It is no proof against somebody who may write to the
// store.
std::string EncodeIssuance(const IssuanceRecord& record);
// One that cannot be read keeps nobody from the others: it is what its key says, with
// kUnreadableProof, and with what it replaced where its bytes still have a serial for that.
IssuanceRecord DecodeIssuance(absl::string_view key, const std::string& value);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_CODEC_H_
