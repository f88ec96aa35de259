#include "common/crypto/key_pem.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "common/crypto/ssl_error.h"
#include "openssl/base64.h"

namespace byrnie {
namespace {

struct Block {
  KeyPem::Form form;
  absl::string_view base64;
};

absl::optional<KeyPem::Form> FormOf(absl::string_view label) {
  if (label == "PRIVATE KEY") return KeyPem::Form::kPkcs8;
  if (label == "EC PRIVATE KEY") return KeyPem::Form::kSec1;
  if (label == "RSA PRIVATE KEY") return KeyPem::Form::kPkcs1;
  return absl::nullopt;
}

absl::StatusOr<Block> FindBlock(absl::string_view text) {
  constexpr absl::string_view kBegin = "-----BEGIN ", kEnd = "-----END ", kDashes = "-----";
  absl::optional<Block> found;
  while (true) {
    text = absl::StripLeadingAsciiWhitespace(text);
    if (text.empty()) break;
    if (!absl::ConsumePrefix(&text, kBegin)) {
      return absl::InvalidArgumentError(
          "there is something else than PEM blocks; take out what stands before or behind the key");
    }
    const size_t label_size = text.find(kDashes);
    if (label_size == absl::string_view::npos) {
      return absl::InvalidArgumentError("a PEM block without a label");
    }
    const absl::string_view label = text.substr(0, label_size);
    text.remove_prefix(label_size + kDashes.size());
    const size_t body_size = text.find(kEnd);
    if (body_size == absl::string_view::npos) {
      return absl::InvalidArgumentError("a PEM block without an end");
    }
    const absl::string_view body = text.substr(0, body_size);
    text.remove_prefix(body_size + kEnd.size());
    if (!absl::ConsumePrefix(&text, label) || !absl::ConsumePrefix(&text, kDashes)) {
      return absl::InvalidArgumentError("a PEM block that ends as another one");
    }
    if (label == "EC PARAMETERS") continue;
    const absl::optional<KeyPem::Form> form = FormOf(label);
    // The second is of RFC 1421, as openssl encrypts the older forms.
    const bool encrypted =
        form.has_value() ? absl::StrContains(body, "Proc-Type:") : label == "ENCRYPTED PRIVATE KEY";
    if (!form.has_value() || encrypted) {
      // A label is no secret, but what stands in its place may be.
      return absl::InvalidArgumentError(
          absl::StrCat(encrypted ? "an encrypted key" : "a PEM block that is no private key",
                       "; give one unencrypted key, as \"openssl genpkey\" makes it"));
    }
    if (found.has_value()) return absl::InvalidArgumentError("more than one private key");
    found = Block{*form, body};
  }
  if (!found.has_value()) return absl::InvalidArgumentError("no private key");
  return *found;
}

}  // namespace

absl::StatusOr<KeyPem> FindKeyInPem(const SecretBytes& pem) {
  ASSIGN_OR_RETURN(const Block found, FindBlock(pem.view()));
  SecretBytes base64(found.base64.size());
  size_t size = 0;
  for (char c : found.base64) {
    if (!absl::ascii_isspace(static_cast<unsigned char>(c))) {
      base64.mutable_span()[size++] = static_cast<uint8_t>(c);
    }
  }
  SecretBytes der(size / 4 * 3 + 1);
  size_t der_size = 0;
  if (!EVP_DecodeBase64(der.mutable_span().data(), &der_size, der.size(), base64.span().data(),
                        size)) {
    DrainSslErrors();
    return absl::InvalidArgumentError("a private key that is not base64");
  }
  return KeyPem{found.form, SecretBytes(der.span().first(der_size))};
}

}  // namespace byrnie
