#ifndef BYRNIE_COMMON_IDENTITY_SVID_RULES_H_
#define BYRNIE_COMMON_IDENTITY_SVID_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "common/crypto/certificate.h"

namespace byrnie {

// What X509-SVID.md and RFC 5280 ask of one certificate, whoever has signed it. Each is pure and
// cheap: no signature is checked. Unauthenticated names the certificate and the rule it breaks.

// The name of a certificate for people: its only URI where it has one, else its subject.
std::string NameOf(const Certificate& certificate);

// What it costs to look at it, and what its keys are worth: at most 32 extensions, none of them
// twice; a key of P-256, P-384 or RSA with 2048 to 4096 bits. (No Ed25519: no CA of this field
// issues with it, and no TLS stack in it offers it by default.)
absl::Status CheckShape(const Certificate& certificate);

// The signature upon it: ECDSA, RSA PKCS #1 or RSA-PSS with SHA-256, SHA-384 or SHA-512. Not asked
// of a trust anchor, whose own signature says nothing.
absl::Status CheckSignatureAlgorithm(const Certificate& certificate);

// A leaf: cA false; key usage there, critical, with digitalSignature, without keyCertSign and
// cRLSign; subjectAltName critical when the subject is empty. Its identity is SpiffeId's to judge.
absl::Status CheckLeaf(const Certificate& leaf);

// A signing certificate: cA true; key usage there, with keyCertSign; a SPIFFE ID, if any, is its
// only URI and has no path.
absl::Status CheckSigner(const Certificate& signer);

// Extended key usage, where it is there, has serverAuth and clientAuth: a mesh peer has both roles.
// On a signing certificate it says what may be issued below it.
absl::Status CheckExtendedKeyUsage(const Certificate& certificate);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_SVID_RULES_H_
