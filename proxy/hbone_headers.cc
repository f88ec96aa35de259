#include "proxy/hbone_headers.h"

#include <algorithm>
#include <utility>

#include "absl/random/uniform_int_distribution.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace byrnie {
namespace {

constexpr size_t kMaxName = 253;
// Of the peer's text that is looked at.
constexpr size_t kMaxBaggage = 4096;
constexpr size_t kMaxMembers = 64;
constexpr size_t kMaxForwarded = 1024;

constexpr absl::string_view kKinds[] = {"pod", "deployment", "job", "cronjob"};

void AddMember(absl::string_view key, absl::string_view value, std::string* baggage) {
  if (!IsName(value)) return;
  absl::StrAppend(baggage, baggage->empty() ? "" : ",", key, "=", value);
}

// The name that a member's value stands for; empty when it is none. Values are percent-encoded
// (W3C Baggage section 3.3.1.3).
std::string DecodeName(absl::string_view value) {
  std::string decoded;
  while (!value.empty()) {
    if (value[0] != '%') {
      decoded.push_back(value[0]);
      value.remove_prefix(1);
      continue;
    }
    if (value.size() < 3 || !absl::ascii_isxdigit(value[1]) || !absl::ascii_isxdigit(value[2])) {
      return "";
    }
    decoded += absl::HexStringToBytes(value.substr(1, 2));
    value.remove_prefix(3);
  }
  return IsName(decoded) ? decoded : "";
}

// Takes a token or a quoted string off the front of `text`. False for neither.
bool TakeValue(absl::string_view* text, std::string* value) {
  value->clear();
  if (text->empty()) return false;
  if ((*text)[0] != '"') {
    const size_t end = text->find_first_of(";, \t\"");
    *value = std::string(text->substr(0, end));
    text->remove_prefix(value->size());
    return !value->empty();
  }
  text->remove_prefix(1);
  while (!text->empty()) {
    char next = (*text)[0];
    text->remove_prefix(1);
    if (next == '"') return true;
    if (next == '\\') {
      if (text->empty()) return false;
      next = (*text)[0];
      text->remove_prefix(1);
    }
    value->push_back(next);
  }
  return false;
}

bool IsLowerHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

bool IsId(absl::string_view text) {
  return IsLowerHex(text) && text.find_first_not_of('0') != absl::string_view::npos;
}

}  // namespace

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '/' ||
                  c == ':';
         });
}

std::string MakeBaggage(const WorkloadNames& names) {
  std::string baggage;
  AddMember("k8s.cluster.name", names.cluster, &baggage);
  AddMember("k8s.namespace.name", names.ns, &baggage);
  if (std::find(std::begin(kKinds), std::end(kKinds), names.kind) != std::end(kKinds)) {
    AddMember(absl::StrCat("k8s.", names.kind, ".name"), names.name, &baggage);
  }
  AddMember("service.name", names.service, &baggage);
  AddMember("service.version", names.version, &baggage);
  return baggage;
}

WorkloadNames ParseBaggage(absl::string_view text) {
  WorkloadNames names;
  if (text.size() > kMaxBaggage) return names;
  size_t members = 0;
  for (absl::string_view member : absl::StrSplit(text, ',')) {
    if (++members > kMaxMembers) break;
    // Properties follow a semicolon; none of ours has any.
    member = member.substr(0, member.find(';'));
    const size_t equals = member.find('=');
    if (equals == absl::string_view::npos) continue;
    const absl::string_view key = absl::StripAsciiWhitespace(member.substr(0, equals));
    std::string value = DecodeName(absl::StripAsciiWhitespace(member.substr(equals + 1)));
    if (value.empty()) continue;
    if (key == "k8s.cluster.name") {
      names.cluster = std::move(value);
    } else if (key == "k8s.namespace.name") {
      names.ns = std::move(value);
    } else if (key == "service.name") {
      names.service = std::move(value);
    } else if (key == "service.version") {
      names.version = std::move(value);
    } else {
      for (absl::string_view kind : kKinds) {
        if (key != absl::StrCat("k8s.", kind, ".name")) continue;
        names.kind = std::string(kind);
        names.name = std::move(value);
        break;
      }
    }
  }
  return names;
}

std::string MakeForwarded(const SocketAddress& source, absl::string_view host) {
  std::string forwarded = absl::StrCat("for=\"", source.WithoutZone().ToString(), "\"");
  if (IsName(host)) {
    // A ':' or '/' is not of a token (RFC 9110 section 5.6.2).
    const bool quote = host.find_first_of(":/") != absl::string_view::npos;
    absl::StrAppend(&forwarded, ";host=", quote ? "\"" : "", host, quote ? "\"" : "");
  }
  return forwarded;
}

Forwarded ParseForwarded(absl::string_view text) {
  Forwarded forwarded;
  if (text.size() > kMaxForwarded) return forwarded;
  while (true) {
    text = absl::StripLeadingAsciiWhitespace(text);
    const size_t equals = text.find_first_of("=;,");
    if (equals == absl::string_view::npos || text[equals] != '=') return forwarded;
    const absl::string_view key = text.substr(0, equals);
    text.remove_prefix(equals + 1);
    std::string value;
    if (!TakeValue(&text, &value)) return forwarded;
    if (absl::EqualsIgnoreCase(key, "for")) {
      absl::StatusOr<SocketAddress> source = SocketAddress::Parse(value);
      if (source.ok()) forwarded.source = *source;
    } else if (absl::EqualsIgnoreCase(key, "host") && IsName(value)) {
      forwarded.host = std::move(value);
    }
    text = absl::StripLeadingAsciiWhitespace(text);
    // A comma begins the next hop's element.
    if (text.empty() || text[0] != ';') return forwarded;
    text.remove_prefix(1);
  }
}

TraceParent NewTraceParent(absl::BitGenRef random) {
  // Never 0, which would mean that there is none.
  absl::uniform_int_distribution<uint64_t> any;
  absl::uniform_int_distribution<uint64_t> not_zero(1);
  TraceParent parent;
  parent.trace_id = absl::StrFormat("%016x%016x", any(random), not_zero(random));
  parent.parent_id = absl::StrFormat("%016x", not_zero(random));
  return parent;
}

std::string MakeTraceParent(const TraceParent& parent) {
  return absl::StrFormat("00-%s-%s-%02x", parent.trace_id, parent.parent_id, parent.flags);
}

absl::optional<TraceParent> ParseTraceParent(absl::string_view text) {
  constexpr size_t kSize = 55;
  if (text.size() < kSize || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return absl::nullopt;
  }
  const absl::string_view version = text.substr(0, 2);
  const absl::string_view flags = text.substr(53, 2);
  if (!IsLowerHex(version) || version == "ff" || !IsLowerHex(flags)) return absl::nullopt;
  // Later versions may say more behind what this one says.
  if (text.size() > kSize && (version == "00" || text[kSize] != '-')) return absl::nullopt;
  TraceParent parent;
  parent.trace_id = std::string(text.substr(3, 32));
  parent.parent_id = std::string(text.substr(36, 16));
  if (!IsId(parent.trace_id) || !IsId(parent.parent_id)) return absl::nullopt;
  parent.flags = static_cast<uint8_t>(absl::HexStringToBytes(flags)[0]);
  return parent;
}

ConnectClaims ReadClaims(const HeaderList& headers) {
  ConnectClaims claims;
  bool baggage = false, forwarded = false, trace = false;
  for (const auto& [name, value] : headers) {
    if (name == "baggage" && !std::exchange(baggage, true)) {
      const WorkloadNames names = ParseBaggage(value);
      claims.workload =
          absl::StrCat(names.ns, names.ns.empty() || names.name.empty() ? "" : "/", names.name);
    } else if (name == "forwarded" && !std::exchange(forwarded, true)) {
      claims.forwarded_for = ParseForwarded(value).source;
    } else if (name == "traceparent" && !std::exchange(trace, true)) {
      const absl::optional<TraceParent> parent = ParseTraceParent(value);
      if (parent.has_value()) claims.trace_id = parent->trace_id;
    }
  }
  return claims;
}

}  // namespace byrnie
