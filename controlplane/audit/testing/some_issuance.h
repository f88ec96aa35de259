#ifndef BYRNIE_CONTROLPLANE_AUDIT_TESTING_SOME_ISSUANCE_H_
#define BYRNIE_CONTROLPLANE_AUDIT_TESTING_SOME_ISSUANCE_H_

#include <string>
#include <utility>

#include "absl/time/time.h"
#include "controlplane/audit/issuance_record.h"

namespace byrnie {

// One that has every field. `serial` has hexadecimal digits alone.
inline IssuanceRecord SomeIssuance(absl::Time issued_at, std::string serial) {
  IssuanceRecord record;
  record.issued_at = issued_at;
  record.serial = std::move(serial);
  record.identity = "spiffe://cluster.local/a";
  record.proof = "join_token";
  record.subject = "somebody";
  record.protocol = "byrnie";
  record.address = "10.0.0.1:4711";
  record.root = std::string(64, 'a');
  record.not_after = issued_at + absl::Hours(1);
  record.replaces = "0a1b2c3d4e5e";
  record.newest_root = std::string(64, 'b');
  record.audience = {"billing", "stock"};
  return record;
}

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_TESTING_SOME_ISSUANCE_H_
