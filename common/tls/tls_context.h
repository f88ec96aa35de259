#ifndef BYRNIE_COMMON_TLS_TLS_CONTEXT_H_
#define BYRNIE_COMMON_TLS_TLS_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_cache.h"
#include "common/crypto/client_key.h"
#include "common/identity/identity_snapshot.h"
#include "common/identity/verified_paths.h"
#include "common/tls/named_server.h"
#include "common/tls/signer.h"
#include "openssl/base.h"

namespace byrnie {

enum class TlsRole { kClient, kServer };

// What a client shows of itself to a server outside the mesh. No chain: nothing. A value.
struct TlsClientCertificate {
  CertificateChain chain;  // Leaf first.
  std::shared_ptr<const ClientKey> key;
};

// The TLS configuration of one identity snapshot and role: TLS 1.3 only, mutual authentication
// always, groups X25519MLKEM768, X25519, P-256, one ALPN protocol, no tickets, no resumption, no
// early data, chains of at most 16 KiB. Immutable, thread-safe; connections share it and keep it
// alive.
//
// CreateForNamedServer and CreateForAnonymousClients make other kinds, for servers and clients that
// are none of the mesh's.
class TlsContext {
 public:
  // `signer` outlives the context and all its connections. InvalidArgument for an ALPN protocol
  // that is not 1 to 255 bytes; Internal when the library refuses the chain.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(TlsRole role, std::string alpn,
                                                                  IdentitySnapshotPtr identity,
                                                                  Signer* signer);

  // Of a client of a server that is known by its host name: it has no identity of the mesh, and
  // shows no certificate unless one is given; TLS 1.2 (RFC 5246) is spoken too, with ECDHE and an
  // AEAD; a server that picks no ALPN protocol is taken. InvalidArgument as Create, without roots
  // or a name to verify, and for a key that is not the certificate's.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> CreateForNamedServer(
      std::string alpn, NamedServer server, TlsClientCertificate client = {});

  // Of a server whose clients know it by its host name and show no certificate, as a Kubernetes API
  // server is a client: TLS 1.2 is spoken too, as to a named server; a client that offers no ALPN
  // protocol is taken. `chain` has a certificate of that name first; `signer` as Create's.
  // InvalidArgument as Create, and without a certificate.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> CreateForAnonymousClients(
      std::string alpn, const CertificateChain& chain, Signer* signer);

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  TlsRole role() const { return role_; }
  const std::string& alpn() const { return alpn_; }
  // Null unless CreateForNamedServer made this; then there is no identity and no signer.
  const NamedServer* named_server() const { return server_.host.empty() ? nullptr : &server_; }
  // UnverifiedTlsClient made this: there is no identity and no signer either.
  bool takes_any_server() const { return takes_any_server_; }
  // Of a context that Create made.
  const IdentitySnapshot& identity() const { return *identity_; }
  const IdentitySnapshotPtr& identity_ptr() const { return identity_; }
  Signer* signer() const { return signer_; }
  // Names the key that the signer is to use.
  const std::string& leaf_fingerprint_hex() const { return leaf_fingerprint_hex_; }
  // For common/tls; valid as long as this.
  CertificateCache* peer_certificates() const { return &peer_certificates_; }
  VerifiedPaths* verified_paths() const { return &verified_paths_; }
  SSL_CTX* native() const { return ctx_.get(); }

 private:
  friend class UnverifiedTlsClient;

  TlsContext() = default;
  // Of a client that takes any server, whatever it shows. InvalidArgument as Create.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> CreateForUnknownServer(std::string alpn);

  TlsRole role_ = TlsRole::kClient;
  std::string alpn_;
  IdentitySnapshotPtr identity_;
  NamedServer server_;
  bool takes_any_server_ = false;
  std::string leaf_fingerprint_hex_;
  Signer* signer_ = nullptr;  // Not owned.
  mutable CertificateCache peer_certificates_;
  mutable VerifiedPaths verified_paths_;
  bssl::UniquePtr<SSL_CTX> ctx_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TLS_CONTEXT_H_
