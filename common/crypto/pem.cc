#include "common/crypto/pem.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/ssl_error.h"
#include "openssl/base64.h"

namespace byrnie {
namespace {

constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

absl::StatusOr<std::string> DecodeBody(absl::string_view body) {
  std::string compact;
  compact.reserve(body.size());
  for (const char c : body) {
    if (!absl::ascii_isspace(c)) compact.push_back(c);
  }
  std::string der(compact.size() / 4 * 3 + 3, '\0');
  size_t size = 0;
  if (!EVP_DecodeBase64(reinterpret_cast<uint8_t*>(&der[0]), &size, der.size(),
                        reinterpret_cast<const uint8_t*>(compact.data()), compact.size())) {
    DrainSslErrors();
    return absl::InvalidArgumentError("malformed base64");
  }
  der.resize(size);
  return der;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParsePem(absl::string_view pem, absl::string_view label,
                                                  absl::string_view what, size_t max_size) {
  if (pem.size() > max_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("PEM text of ", pem.size(), " bytes; at most ", max_size, " are taken"));
  }
  const std::string begin = absl::StrCat("-----BEGIN ", label, "-----");
  const std::string end = absl::StrCat("-----END ", label, "-----");
  std::vector<std::string> blocks;
  absl::string_view rest = pem;
  absl::ConsumePrefix(&rest, kByteOrderMark);
  rest = absl::StripLeadingAsciiWhitespace(rest);
  while (!rest.empty()) {
    const size_t number = blocks.size() + 1;
    if (!absl::ConsumePrefix(&rest, begin)) {
      const absl::string_view line = rest.substr(0, rest.find_first_of("\r\n"));
      if (!absl::StartsWith(line, "-----BEGIN ") && !absl::StrContains(line, "-----END ")) {
        rest = absl::StripLeadingAsciiWhitespace(rest.substr(line.size()));
        continue;
      }
      const bool begins = absl::StartsWith(line, "-----BEGIN ");
      return absl::InvalidArgumentError(
          absl::StrCat("PEM text has ",
                       begins ? absl::StrCat("something other than a ", what, " (\"",
                                             absl::CEscape(line.substr(0, 40)), "\")")
                              : "an end line without a beginning",
                       " where ", what, " ", number, " should begin"));
    }
    const size_t body_size = rest.find(end);
    if (body_size == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("PEM ", what, " ", number, " has no end line"));
    }
    absl::StatusOr<std::string> der = DecodeBody(rest.substr(0, body_size));
    if (!der.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("PEM ", what, " ", number, ": ", der.status().message()));
    }
    blocks.push_back(*std::move(der));
    rest = absl::StripLeadingAsciiWhitespace(rest.substr(body_size + end.size()));
  }
  if (blocks.empty()) return absl::InvalidArgumentError(absl::StrCat("PEM text without a ", what));
  return blocks;
}

std::string ToPem(absl::string_view der, absl::string_view label) {
  const std::string base64 = absl::Base64Escape(der);
  std::string pem = absl::StrCat("-----BEGIN ", label, "-----\n");
  for (size_t offset = 0; offset < base64.size(); offset += 64) {
    absl::StrAppend(&pem, absl::string_view(base64).substr(offset, 64), "\n");
  }
  absl::StrAppend(&pem, "-----END ", label, "-----\n");
  return pem;
}

}  // namespace byrnie
