#include "common/crypto/sealing_key.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/secret_memory.h"
#include "common/crypto/ssl_error.h"
#include "openssl/aead.h"
#include "openssl/base64.h"
#include "openssl/hmac.h"
#include "openssl/mem.h"
#include "openssl/rand.h"

namespace byrnie {
namespace {

// What Seal() makes: kMagic, the key's id (8 bytes), the nonce, the ciphertext with its tag. A key
// in PKCS#8 begins with 0x30, so one is never taken for the other.
constexpr absl::string_view kMagic = "BYS1";
constexpr size_t kIdBytes = 8;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kHeaderBytes = 4 + kIdBytes;
constexpr absl::string_view kIdLabel = "byrnie sealing key id";

const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

absl::Status NotAKey(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(what,
                   "; give 32 random bytes, as they are, in hexadecimal or in base64, as "
                   "\"openssl rand -base64 32\" makes them"));
}

// The library's state of a key, wiped when it goes.
class Aead {
 public:
  explicit Aead(const SecretBytes& key) {
    ready_ = EVP_AEAD_CTX_init(&context_, EVP_aead_aes_256_gcm(), key.span().data(), key.size(),
                               kTagBytes, nullptr) == 1;
  }
  ~Aead() {
    if (ready_) EVP_AEAD_CTX_cleanup(&context_);
    OPENSSL_cleanse(&context_, sizeof(context_));
  }
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  bool ready() const { return ready_; }
  EVP_AEAD_CTX* get() { return &context_; }

 private:
  EVP_AEAD_CTX context_;
  bool ready_ = false;
};

// The header is authenticated, too; its length is fixed, so the two cannot run into each other.
std::string AdditionalData(absl::string_view header, absl::string_view context) {
  return absl::StrCat(header, context);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool DecodeHex(absl::string_view text, absl::Span<uint8_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = HexDigit(text[2 * i]), low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

}  // namespace

constexpr size_t SealingKey::kSize;

absl::StatusOr<std::shared_ptr<const SealingKey>> SealingKey::FromBytes(SecretBytes bytes) {
  if (bytes.size() != kSize) {
    return NotAKey(absl::StrCat("a key of ", bytes.size(), " bytes"));
  }
  const absl::Span<const uint8_t> span = bytes.span();
  if (std::all_of(span.begin(), span.end(), [&](uint8_t byte) { return byte == span[0]; })) {
    return NotAKey("a key whose bytes are all the same");
  }
  uint8_t mac[32];
  unsigned size = 0;
  if (HMAC(EVP_sha256(), span.data(), span.size(), Bytes(kIdLabel), kIdLabel.size(), mac, &size) ==
      nullptr) {
    return SslError(absl::StatusCode::kInternal, "cannot name a key");
  }
  WipeStackBelow();
  std::string id =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(mac), kIdBytes));
  return absl::WrapUnique(new SealingKey(std::move(bytes), std::move(id)));
}

absl::StatusOr<std::shared_ptr<const SealingKey>> SealingKey::Parse(const SecretBytes& contents) {
  if (contents.size() == kSize) {
    const absl::string_view raw = contents.view();
    if (std::all_of(raw.begin(), raw.end(),
                    [](char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)); })) {
      return NotAKey("text instead of random bytes");
    }
    return FromBytes(contents.Clone());
  }
  const absl::string_view text = absl::StripAsciiWhitespace(contents.view());
  if (text.size() == 2 * kSize) {
    SecretBytes bytes(kSize);
    if (!DecodeHex(text, bytes.mutable_span())) return NotAKey("64 digits not all hexadecimal");
    return FromBytes(std::move(bytes));
  }
  constexpr size_t kBase64Size = (kSize + 2) / 3 * 4;
  if (text.size() == kBase64Size) {
    // One more than the key: what the padding stands for is not written, but has to fit.
    SecretBytes decoded(kSize + 1);
    size_t size = 0;
    if (!EVP_DecodeBase64(decoded.mutable_span().data(), &size, decoded.size(), Bytes(text),
                          text.size()) ||
        size != kSize) {
      DrainSslErrors();
      return NotAKey("44 characters that are not base64 of 32 bytes");
    }
    return FromBytes(SecretBytes(decoded.span().first(kSize)));
  }
  return NotAKey(absl::StrCat(contents.size(), " bytes that are no key"));
}

bool SealingKey::IsSealed(absl::string_view bytes) {
  return absl::StartsWith(bytes, kMagic) && bytes.size() >= kHeaderBytes + kNonceBytes + kTagBytes;
}

absl::StatusOr<std::string> SealingKey::Seal(const SecretBytes& secret,
                                             absl::string_view context) const {
  const std::string header = absl::StrCat(kMagic, absl::HexStringToBytes(id_));
  const std::string data = AdditionalData(header, context);
  std::string out = header;
  out.resize(kHeaderBytes + kNonceBytes + secret.size() + kTagBytes);
  uint8_t* const nonce = reinterpret_cast<uint8_t*>(&out[kHeaderBytes]);
  RAND_bytes(nonce, kNonceBytes);
  size_t size = 0;
  bool sealed = false;
  {
    Aead aead(key_);
    sealed = aead.ready() &&
             EVP_AEAD_CTX_seal(aead.get(), nonce + kNonceBytes, &size, secret.size() + kTagBytes,
                               nonce, kNonceBytes, secret.span().data(), secret.size(), Bytes(data),
                               data.size()) == 1;
  }
  WipeStackBelow();
  if (!sealed) return SslError(absl::StatusCode::kInternal, "cannot seal");
  out.resize(kHeaderBytes + kNonceBytes + size);
  return out;
}

absl::StatusOr<SecretBytes> SealingKey::Open(absl::string_view sealed,
                                             absl::string_view context) const {
  if (!IsSealed(sealed)) return absl::DataLossError("what should be sealed is not");
  const absl::string_view header = sealed.substr(0, kHeaderBytes);
  const std::string by = absl::BytesToHexString(header.substr(kMagic.size()));
  if (by != id_) {
    return absl::FailedPreconditionError(
        absl::StrCat("sealed with key ", by, ", and the key given is ", id_));
  }
  const absl::string_view nonce = sealed.substr(kHeaderBytes, kNonceBytes);
  const absl::string_view ciphertext = sealed.substr(kHeaderBytes + kNonceBytes);
  const std::string data = AdditionalData(header, context);
  // Never empty: AllocateSecret wants a size.
  SecretBytes secret(ciphertext.size());
  size_t size = 0;
  bool opened = false;
  {
    Aead aead(key_);
    opened = aead.ready() &&
             EVP_AEAD_CTX_open(aead.get(), secret.mutable_span().data(), &size, secret.size(),
                               Bytes(nonce), nonce.size(), Bytes(ciphertext), ciphertext.size(),
                               Bytes(data), data.size()) == 1;
  }
  WipeStackBelow();
  if (!opened) {
    DrainSslErrors();
    return absl::DataLossError("sealed with the key given, and changed or moved since");
  }
  return SecretBytes(secret.span().first(size));
}

}  // namespace byrnie
