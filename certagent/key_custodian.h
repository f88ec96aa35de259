#ifndef BYRNIE_CERTAGENT_KEY_CUSTODIAN_H_
#define BYRNIE_CERTAGENT_KEY_CUSTODIAN_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "common/event/event_loop.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Owns the private keys of the current leaf and of those just replaced, and signs with them for the
// proxy. It signs nothing but TLS 1.3 CertificateVerify input (RFC 8446 section 4.4.3): whoever
// holds the proxy can prove to be this workload in handshakes as long as it holds the link, and can
// make nothing that outlives it. Lives on one loop.
class KeyCustodian {
 public:
  struct Options {
    // Signatures per second, and how many at once after a pause.
    double signatures_per_second = 5000;
    double burst = 10000;
  };

  // `loop` and `metrics` outlive the custodian.
  KeyCustodian(EventLoop* loop, MetricRegistry* metrics, const Options& options);
  KeyCustodian(const KeyCustodian&) = delete;
  KeyCustodian& operator=(const KeyCustodian&) = delete;

  // Handshakes that began with a leaf may still be on their way when it is replaced, and when that
  // one is, too: a rotation of the root renews twice within seconds. The last one replaced is kept
  // until the next Install(), those before it as long as a handshake may last, and no more of them
  // than this.
  static constexpr absl::Duration kHandshake = absl::Seconds(15);
  static constexpr size_t kMaxReplaced = 16;

  // Makes `leaf` the current one. `key` is the leaf's.
  void Install(const Certificate& leaf, std::shared_ptr<const PrivateKey> key);

  // Signs `input` with the key of the leaf whose SHA-256 is `leaf_fingerprint_hex`; returns the DER
  // signature. InvalidArgument: not ecdsa_secp256r1_sha256 (0x0403), or not exactly a
  // CertificateVerify input of a client or server. NotFound: the leaf is neither the current one
  // nor one just replaced. FailedPrecondition: the leaf has expired, or has not begun.
  // ResourceExhausted: too many in a short time.
  absl::StatusOr<std::string> Sign(absl::string_view leaf_fingerprint_hex, uint32_t scheme,
                                   absl::string_view input);

 private:
  struct Held {
    std::string fingerprint;
    absl::Time not_before;
    absl::Time not_after;
    std::shared_ptr<const PrivateKey> key;
    absl::Duration replaced_at;
  };

  const Held* Find(absl::string_view leaf_fingerprint_hex) const;

  absl::Status Refuse(const char* reason, absl::Status why);
  bool TakeFromBudget();

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  Held current_;
  std::deque<Held> replaced_;  // The last one first.
  double budget_;
  absl::Duration budget_at_;
  Counter* signed_;
  std::map<std::string, Counter*, std::less<>> refused_;  // By reason.
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_KEY_CUSTODIAN_H_
