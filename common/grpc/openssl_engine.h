#ifndef BYRNIE_COMMON_GRPC_OPENSSL_ENGINE_H_
#define BYRNIE_COMMON_GRPC_OPENSSL_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace byrnie {

// Lets the OpenSSL that gRPC is linked with sign with a key it does not get: an OpenSSL engine in
// this process, which gRPC asks for where it is given "engine:NAME:KEY" in place of a PEM key.
// OpenSSL then holds the public key and calls back for each signature; no copy of the private key
// is ever in its memory, nor in gRPC's.
//
// One object is one key, which its name stands for as long as the object lives. Thread-safe.
class OpensslEngineKey {
 public:
  // The DER ECDSA signature of a SHA-256. Called on gRPC's threads.
  using Sign = std::function<absl::StatusOr<std::string>(absl::Span<const uint8_t> sha256)>;

  // `public_key` is a SubjectPublicKeyInfo of P-256, DER. Internal when the OpenSSL loaded knows no
  // engines.
  static absl::StatusOr<std::shared_ptr<const OpensslEngineKey>> Create(std::string public_key,
                                                                        Sign sign);
  OpensslEngineKey(const OpensslEngineKey&) = delete;
  OpensslEngineKey& operator=(const OpensslEngineKey&) = delete;
  // What OpenSSL made of the name before goes on signing.
  ~OpensslEngineKey();

  // In place of a PEM key. Not secret.
  const std::string& name() const { return name_; }

 private:
  OpensslEngineKey() = default;
  std::string id_;
  std::string name_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_OPENSSL_ENGINE_H_
