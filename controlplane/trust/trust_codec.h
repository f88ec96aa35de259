#ifndef BYRNIE_CONTROLPLANE_TRUST_TRUST_CODEC_H_
#define BYRNIE_CONTROLPLANE_TRUST_TRUST_CODEC_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/trust/trust_record.h"

namespace byrnie {

// The record as bytes: byrnie.store.v1.TrustRecord. Keys go in and come out as they are stored, so
// that where they are not sealed the bytes are secret: the caller wipes them.
std::string EncodeTrustRecord(const TrustRecord& record);
// FailedPrecondition, with what to do, when the bytes are no such record or one a newer control
// plane made.
absl::StatusOr<TrustRecord> DecodeTrustRecord(absl::string_view bytes);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TRUST_CODEC_H_
