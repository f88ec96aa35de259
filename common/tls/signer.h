#ifndef BYRNIE_COMMON_TLS_SIGNER_H_
#define BYRNIE_COMMON_TLS_SIGNER_H_

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/event/event_loop.h"

namespace byrnie {

// Signs TLS 1.3 CertificateVerify messages with a key that this process need not hold. Thread-safe.
class Signer {
 public:
  using Callback = absl::AnyInvocable<void(absl::StatusOr<std::string> signature)>;

  virtual ~Signer() = default;

  // Signs `input` (RFC 8446 section 4.4.3: 64 spaces, context string, zero byte, transcript hash)
  // with the key of the leaf whose SHA-256 is `leaf_fingerprint_hex`, by TLS signature scheme
  // `scheme` (ecdsa_secp256r1_sha256 = 0x0403). `done` runs once on `loop` in a later turn: the DER
  // signature, Unavailable when the signer is not reachable, PermissionDenied when it refuses. It
  // may run after the caller has gone: it must not own or reach anything that is dead by then.
  virtual void Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
                    EventLoop* loop, Callback done) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_SIGNER_H_
