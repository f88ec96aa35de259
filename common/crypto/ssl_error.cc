#include "common/crypto/ssl_error.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "openssl/err.h"

namespace byrnie {
namespace {

constexpr int kMaxEntries = 4;

}  // namespace

std::string DrainSslErrors() {
  std::string text;
  int entries = 0;
  while (uint32_t packed = ERR_get_error()) {
    if (++entries > kMaxEntries) continue;
    const char* reason = ERR_reason_error_string(packed);
    if (!text.empty()) absl::StrAppend(&text, "; ");
    if (reason == nullptr) {
      absl::StrAppend(&text, "error ", packed);
      continue;
    }
    absl::StrAppend(&text, absl::AsciiStrToLower(absl::StrReplaceAll(reason, {{"_", " "}})));
  }
  return text.empty() ? "no reason given" : text;
}

absl::Status SslError(absl::StatusCode code, absl::string_view what) {
  return absl::Status(code, absl::StrCat(what, ": ", DrainSslErrors()));
}

}  // namespace byrnie
