#ifndef BYRNIE_CONTROLPLANE_CA_CERTIFICATE_REQUEST_H_
#define BYRNIE_CONTROLPLANE_CA_CERTIFICATE_REQUEST_H_

#include <string>

#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// What a message of some protocol asks for.
struct CertificateRequest {
  // PKCS#10, DER; not looked at yet.
  std::string csr;
  // Absent: as long as it may.
  absl::optional<absl::Duration> ttl;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_CERTIFICATE_REQUEST_H_
