#include "common/identity/spiffe_id.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

constexpr absl::string_view kScheme = "spiffe://";
constexpr size_t kMaxQuoted = 128;

std::string Quote(absl::string_view text) {
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kMaxQuoted)), "\"",
                      text.size() > kMaxQuoted ? "..." : "");
}

bool IsTrustDomainChar(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' || c == '_';
}

bool IsPathChar(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

// What is wrong with `path`, which starts with '/'; empty when nothing is.
std::string PathDefect(absl::string_view path) {
  size_t begin = 1;
  for (;;) {
    size_t end = path.find('/', begin);
    if (end == absl::string_view::npos) end = path.size();
    const absl::string_view segment = path.substr(begin, end - begin);
    if (segment.empty()) {
      return end == path.size() ? "the path ends with '/'" : "the path has an empty segment";
    }
    if (segment == "." || segment == "..") {
      return absl::StrCat("the path has the segment '", segment, "'");
    }
    for (const char c : segment) {
      if (!IsPathChar(c)) {
        return absl::StrCat("the path has the character '",
                            absl::CHexEscape(absl::string_view(&c, 1)),
                            "'; a segment is [a-zA-Z0-9._-]+");
      }
    }
    if (end == path.size()) return "";
    begin = end + 1;
  }
}

absl::Status Invalid(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("invalid SPIFFE ID ", Quote(text), ": ", why));
}

// The parts of "/ns/NAMESPACE/sa/ACCOUNT".
bool SplitKubernetesPath(absl::string_view path, absl::string_view* ns,
                         absl::string_view* account) {
  constexpr absl::string_view kNs = "/ns/";
  constexpr absl::string_view kSa = "/sa/";
  if (!absl::StartsWith(path, kNs)) return false;
  path.remove_prefix(kNs.size());
  const size_t slash = path.find('/');
  if (slash == absl::string_view::npos || !absl::StartsWith(path.substr(slash), kSa)) return false;
  *ns = path.substr(0, slash);
  *account = path.substr(slash + kSa.size());
  return !absl::StrContains(*account, '/');
}

}  // namespace

absl::Status SpiffeId::CheckTrustDomain(absl::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("empty trust domain");
  if (name.size() > kMaxTrustDomainLength) {
    return absl::InvalidArgumentError(absl::StrCat("trust domain ", Quote(name.substr(0, 32)),
                                                   " of ", name.size(), " bytes; at most ",
                                                   kMaxTrustDomainLength));
  }
  for (const char c : name) {
    if (!IsTrustDomainChar(c)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "trust domain ", Quote(name), " has the character '",
          absl::CHexEscape(absl::string_view(&c, 1)), "'; a trust domain is [a-z0-9._-]+"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SpiffeId> SpiffeId::Parse(absl::string_view text) {
  if (text.size() > kMaxLength) {
    return Invalid(text, absl::StrCat(text.size(), " bytes long; at most ", kMaxLength));
  }
  if (!absl::StartsWith(text, kScheme)) return Invalid(text, "does not begin with \"spiffe://\"");
  const absl::string_view rest = text.substr(kScheme.size());
  const size_t slash = rest.find('/');
  const absl::string_view trust_domain = rest.substr(0, slash);
  const absl::Status checked = CheckTrustDomain(trust_domain);
  if (!checked.ok()) return Invalid(text, checked.message());
  if (slash == absl::string_view::npos) return Invalid(text, "has no path");
  const std::string defect = PathDefect(rest.substr(slash));
  if (!defect.empty()) return Invalid(text, defect);
  return SpiffeId(std::string(text), kScheme.size() + slash);
}

absl::string_view SpiffeId::trust_domain() const {
  return absl::string_view(text_).substr(kScheme.size(), path_offset_ - kScheme.size());
}

absl::string_view SpiffeId::path() const { return absl::string_view(text_).substr(path_offset_); }

absl::string_view SpiffeId::k8s_namespace() const {
  absl::string_view ns, account;
  return SplitKubernetesPath(path(), &ns, &account) ? ns : absl::string_view();
}

absl::string_view SpiffeId::k8s_service_account() const {
  absl::string_view ns, account;
  return SplitKubernetesPath(path(), &ns, &account) ? account : absl::string_view();
}

}  // namespace byrnie
