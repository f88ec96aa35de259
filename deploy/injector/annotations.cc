#include "deploy/injector/annotations.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "deploy/injector/image_reference.h"
#include "deploy/redirect/redirect_options.h"

namespace byrnie {
namespace {

using Kind = Annotation::Kind;

constexpr bool kNo = false, kAgent = true, kProxy = true, kRedirect = true;

// Longer than any that is meant.
constexpr size_t kMaxQuantity = 18;

constexpr Annotation kAnnotations[] = {
    // What is redirected.
    {"include-inbound-ports", Kind::kPortRanges, "", kNo, kNo, kRedirect},
    {"exclude-inbound-ports", Kind::kPortRanges, "", kNo, kNo, kRedirect},
    {"include-outbound-ports", Kind::kPortRanges, "", kNo, kNo, kRedirect},
    {"exclude-outbound-ports", Kind::kPortRanges, "", kNo, kNo, kRedirect},
    {"include-outbound-cidrs", Kind::kCidrs, "", kNo, kNo, kRedirect},
    {"exclude-outbound-cidrs", Kind::kCidrs, "", kNo, kNo, kRedirect},
    {"exclude-uids", Kind::kUsers, "", kNo, kNo, kRedirect},
    {"exclude-gids", Kind::kUsers, "", kNo, kNo, kRedirect},
    {"include-interfaces", Kind::kInterfaces, "", kNo, kNo, kRedirect},
    {"exclude-interfaces", Kind::kInterfaces, "", kNo, kNo, kRedirect},
    // A container more; it is given its own flag.
    {"redirect-watch", Kind::kWord, "off|report|repair|fail-closed", kNo, kNo, kNo},
    // What the proxy does with it.
    {"mtls-mode", Kind::kWord, "strict|permissive", kNo, kProxy, kNo},
    {"mtls-port-modes", Kind::kPortModes, "", kNo, kProxy, kNo},
    {"proxy-protocol-ports", Kind::kPorts, "", kNo, kProxy, kNo},
    {"outbound-policy", Kind::kWord, "passthrough|deny", kNo, kProxy, kNo},
    {"lookup-failure", Kind::kWord, "deny|passthrough", kNo, kProxy, kNo},
    {"identity-expiry", Kind::kWord, "drain|keep|strict", kNo, kProxy, kNo},
    {"connect-attempts", Kind::kNumber, "1..10", kNo, kProxy, kNo},
    {"connect-timeout", Kind::kDuration, "1ms..24h", kNo, kProxy, kNo},
    {"resolve-timeout", Kind::kDuration, "1ms..24h", kNo, kProxy, kNo},
    {"idle-timeout", Kind::kDuration, "0|1ms..8760h", kNo, kProxy, kNo},
    {"half-close-timeout", Kind::kDuration, "1ms..24h", kNo, kProxy, kNo},
    {"max-connection-age", Kind::kDuration, "0|1ms..8760h", kNo, kProxy, kNo},
    {"max-connections", Kind::kNumber, "0..1000000000", kNo, kProxy, kNo},
    {"workers", Kind::kNumber, "0..64", kNo, kProxy, kNo},
    {"metrics-series", Kind::kNumber, "1000..100000", kNo, kProxy, kNo},
    {"access-log", Kind::kWord, "close|open_close|off", kNo, kProxy, kNo},
    // Both.
    {"log-level", Kind::kWord, "error|warning|info|debug", kAgent, kProxy, kNo},
    {"log-format", Kind::kWord, "json|text", kAgent, kProxy, kNo},
    {"certificate-ttl", Kind::kDuration, "0|5s..8760h", kAgent, kNo, kNo},
    // The end.
    {"drain-hold", Kind::kDuration, "0|1ms..24h", kNo, kProxy, kNo},
    {"drain-quiet", Kind::kDuration, "0|1ms..24h", kNo, kProxy, kNo},
    {"drain-timeout", Kind::kDuration, "1ms..24h", kNo, kProxy, kNo},
    // Probes; pod_probes.h makes flags of them.
    {"probes", Kind::kWord, "declare|rewrite|off", kNo, kNo, kNo},
    {"probe-ports", Kind::kPorts, "", kNo, kNo, kNo},
    {"probe-sources", Kind::kCidrs, "", kNo, kNo, kNo},
    // The containers.
    {"sidecars", Kind::kWord, "native|classic", kNo, kNo, kNo},
    {"hold-application", Kind::kWord, "true|false", kNo, kNo, kNo},
    {"image", Kind::kImage, "", kNo, kNo, kNo},
    {"image-pull-policy", Kind::kWord, "Always|IfNotPresent|Never", kNo, kNo, kNo},
    {"proxy-cpu-request", Kind::kQuantity, "", kNo, kNo, kNo},
    {"proxy-cpu-limit", Kind::kQuantity, "", kNo, kNo, kNo},
    {"proxy-memory-request", Kind::kQuantity, "", kNo, kNo, kNo},
    {"proxy-memory-limit", Kind::kQuantity, "", kNo, kNo, kNo},
    {"agent-cpu-request", Kind::kQuantity, "", kNo, kNo, kNo},
    {"agent-cpu-limit", Kind::kQuantity, "", kNo, kNo, kNo},
    {"agent-memory-request", Kind::kQuantity, "", kNo, kNo, kNo},
    {"agent-memory-limit", Kind::kQuantity, "", kNo, kNo, kNo},
    {"redirect-cpu-request", Kind::kQuantity, "", kNo, kNo, kNo},
    {"redirect-cpu-limit", Kind::kQuantity, "", kNo, kNo, kNo},
    {"redirect-memory-request", Kind::kQuantity, "", kNo, kNo, kNo},
    {"redirect-memory-limit", Kind::kQuantity, "", kNo, kNo, kNo},
};

const Annotation* FindAnnotation(absl::string_view name) {
  for (const Annotation& annotation : kAnnotations) {
    if (annotation.name == name) return &annotation;
  }
  return nullptr;
}

std::string FlagOf(absl::string_view name) { return absl::StrReplaceAll(name, {{"-", "_"}}); }

// Without the spaces that people write. None in an empty list, with which a pod takes back what the
// mesh's defaults say.
std::vector<std::string> ItemsIn(absl::string_view text) {
  std::vector<std::string> items;
  if (text.empty()) return items;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    items.emplace_back(absl::StripAsciiWhitespace(item));
  }
  return items;
}

bool IsPort(absl::string_view text) {
  uint32_t port = 0;
  return absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535;
}

bool IsList(const Annotation& annotation) {
  switch (annotation.kind) {
    case Kind::kPorts:
    case Kind::kPortRanges:
    case Kind::kPortModes:
    case Kind::kCidrs:
    case Kind::kUsers:
    case Kind::kInterfaces:
      return true;
    default:
      return false;
  }
}

// Each kind's check returns what is wrong and what to write instead; "" for nothing.

std::string CheckWord(absl::string_view limits, absl::string_view value) {
  const std::vector<absl::string_view> words = absl::StrSplit(limits, '|');
  if (std::find(words.begin(), words.end(), value) != words.end()) return "";
  return absl::StrCat("write one of ", absl::StrJoin(words, ", "));
}

std::string CheckPorts(absl::string_view value) {
  for (const std::string& item : ItemsIn(value)) {
    if (!IsPort(item)) {
      return absl::StrCat("\"", item, "\" is no port; write them like 8080,8081");
    }
  }
  return "";
}

std::string CheckPortModes(absl::string_view value) {
  // By number: 080 is 80.
  std::set<uint32_t> seen;
  for (const std::string& item : ItemsIn(value)) {
    const std::vector<std::string> parts = absl::StrSplit(item, absl::MaxSplits('=', 1));
    if (parts.size() != 2 || !IsPort(parts[0]) ||
        (parts[1] != "strict" && parts[1] != "permissive")) {
      return absl::StrCat("\"", item, "\" is not PORT=strict or PORT=permissive; write them like ",
                          "8080=permissive,9090=strict");
    }
    uint32_t port = 0;
    if (absl::SimpleAtoi(parts[0], &port) && !seen.insert(port).second) {
      return absl::StrCat("port ", parts[0], " is in it twice; write it once");
    }
  }
  return "";
}

std::string CheckDuration(absl::string_view limits, absl::string_view value) {
  const bool zero = absl::ConsumePrefix(&limits, "0|");
  const std::vector<absl::string_view> ends = absl::StrSplit(limits, "..");
  absl::Duration least, most, given;
  absl::ParseDuration(ends[0], &least);
  absl::ParseDuration(ends[1], &most);
  if (absl::ParseDuration(value, &given) &&
      ((zero && given == absl::ZeroDuration()) || (given >= least && given <= most))) {
    return "";
  }
  return absl::StrCat("write a time from ", ends[0], " to ", ends[1], zero ? ", or 0" : "",
                      ", like 30s or 5m");
}

std::string CheckNumber(absl::string_view limits, absl::string_view value) {
  const std::vector<absl::string_view> ends = absl::StrSplit(limits, "..");
  int64_t least = 0, most = 0, given = 0;
  (void)absl::SimpleAtoi(ends[0], &least);
  (void)absl::SimpleAtoi(ends[1], &most);
  if (absl::SimpleAtoi(value, &given) && given >= least && given <= most) return "";
  return absl::StrCat("write a number from ", ends[0], " to ", ends[1]);
}

std::string CheckImage(absl::string_view value) {
  const absl::Status good = CheckImageReference(value);
  return good.ok() ? ""
                   : absl::StrCat(good.message(),
                                  "; write the name of an image, like registry/byrnie:1.0");
}

// The redirect's own lists are judged by the redirect's own code, each by itself; together at the
// end, see CheckTogether.
absl::Status CheckRedirect(const std::map<std::string, std::string, std::less<>>& values) {
  RedirectOptions options;
  const std::pair<const char*, std::vector<std::string>*> lists[] = {
      {"include-inbound-ports", &options.include_inbound_ports},
      {"exclude-inbound-ports", &options.exclude_inbound_ports},
      {"include-outbound-ports", &options.include_outbound_ports},
      {"exclude-outbound-ports", &options.exclude_outbound_ports},
      {"include-outbound-cidrs", &options.include_outbound_cidrs},
      {"exclude-outbound-cidrs", &options.exclude_outbound_cidrs},
      {"exclude-uids", &options.exclude_uids},
      {"exclude-gids", &options.exclude_gids},
      {"include-interfaces", &options.include_interfaces},
      {"exclude-interfaces", &options.exclude_interfaces}};
  for (const auto& [name, list] : lists) {
    const auto value = values.find(name);
    if (value != values.end()) *list = ItemsIn(value->second);
  }
  const absl::StatusOr<RedirectMatches> matches = CheckOptions(options);
  if (matches.ok()) return absl::OkStatus();
  // It speaks of its flags.
  std::string message(matches.status().message());
  for (const auto& [name, list] : lists) {
    absl::StrReplaceAll({{absl::StrCat("--", FlagOf(name)), absl::StrCat(kAnnotationPrefix, name)}},
                        &message);
  }
  return absl::InvalidArgumentError(message);
}

// Of networks that are not the redirect's, but written as its own.
std::string CheckCidrs(absl::string_view value) {
  RedirectOptions options;
  options.include_outbound_cidrs = ItemsIn(value);
  // Beside a port they need not lead anything to the proxy.
  options.include_outbound_ports = {"1"};
  for (const std::string& item : options.include_outbound_cidrs) {
    if (item == "*") return "write networks, like 10.0.0.0/8,fd00::/8";
  }
  const absl::StatusOr<RedirectMatches> matches = CheckOptions(options);
  return matches.ok() ? ""
                      : std::string(absl::StripPrefix(matches.status().message(),
                                                      "--include_outbound_cidrs: "));
}

// Of a decimal quantity: e3, E-3.
bool IsExponent(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "e") && !absl::ConsumePrefix(&text, "E")) return false;
  if (!absl::ConsumePrefix(&text, "-")) absl::ConsumePrefix(&text, "+");
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

constexpr double kLeastMemory = 1024 * 1024;

std::string CheckQuantity(absl::string_view name, absl::string_view value) {
  if (value == "none") return "";
  const absl::optional<double> quantity = ParseQuantity(value);
  if (!quantity.has_value()) return "write a quantity above 0, like 100m or 64Mi, or none";
  // 64m are 64 thousandths of a byte, and no container starts in that.
  if (absl::EndsWith(name, "-memory-limit") && *quantity < kLeastMemory) {
    return "is less than 1Mi of memory; write bytes, like 64Mi";
  }
  return "";
}

// Before anybody looks at it: whoever makes a pod has somebody else do that work.
std::string CheckSize(const Annotation& annotation, absl::string_view value) {
  if (!IsList(annotation)) {
    return value.size() <= kMaxAnnotationText
               ? ""
               : absl::StrCat("is longer than ", kMaxAnnotationText, " bytes");
  }
  if (value.size() > kMaxListItems * (kMaxListItem + 1) ||
      static_cast<size_t>(std::count(value.begin(), value.end(), ',')) >= kMaxListItems) {
    return absl::StrCat("has more than ", kMaxListItems,
                        " items; write fewer, such as ranges of them");
  }
  for (const absl::string_view item : absl::StrSplit(value, ',')) {
    if (item.size() > kMaxListItem) {
      return absl::StrCat("\"", Shortened(item, kMaxListItem),
                          "\" is longer than any of them can be");
    }
  }
  return "";
}

std::string CheckValue(const Annotation& annotation, absl::string_view value) {
  switch (annotation.kind) {
    case Kind::kWord:
      return CheckWord(annotation.limits, value);
    case Kind::kPorts:
      return CheckPorts(value);
    case Kind::kPortModes:
      return CheckPortModes(value);
    case Kind::kDuration:
      return CheckDuration(annotation.limits, value);
    case Kind::kNumber:
      return CheckNumber(annotation.limits, value);
    case Kind::kQuantity:
      return CheckQuantity(annotation.name, value);
    case Kind::kImage:
      return CheckImage(value);
    case Kind::kCidrs:
      if (!annotation.redirect) return CheckCidrs(value);
      [[fallthrough]];
    case Kind::kPortRanges:
    case Kind::kUsers:
    case Kind::kInterfaces: {
      const absl::Status status =
          CheckRedirect({{std::string(annotation.name), std::string(value)}});
      return std::string(absl::StripPrefix(status.message(),
                                           absl::StrCat(kAnnotationPrefix, annotation.name, ": ")));
    }
  }
  return "it is of no known kind";
}

// Values as flags take them: lists without spaces.
std::string Normalised(const Annotation& annotation, absl::string_view value) {
  const absl::string_view stripped = absl::StripAsciiWhitespace(value);
  return IsList(annotation) ? absl::StrJoin(ItemsIn(stripped), ",") : std::string(stripped);
}

absl::Status Wrong(absl::string_view name, absl::string_view value, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("annotation ", kAnnotationPrefix, name, "=\"", Shortened(value), "\": ", what));
}

// What is wrong with values that are each right.
absl::Status CheckTogether(const PodSettings& settings,
                           const std::map<std::string, std::string, std::less<>>& values) {
  RETURN_IF_ERROR(CheckRedirect(values));
  const absl::optional<absl::Duration> timeout = settings.GetDuration("drain-timeout");
  for (const char* const part : {"drain-hold", "drain-quiet"}) {
    const absl::optional<absl::Duration> said = settings.GetDuration(part);
    if (said.has_value() && timeout.has_value() && *said > *timeout) {
      return Wrong(part, *settings.Get(part),
                   absl::StrCat("is longer than ", kAnnotationPrefix, "drain-timeout, ",
                                *settings.Get("drain-timeout"), "; make it shorter"));
    }
  }
  if (settings.GetOr("redirect-watch", "off") != "off" &&
      settings.GetOr("sidecars", "native") == "classic") {
    return Wrong("redirect-watch", *settings.Get("redirect-watch"),
                 absl::StrCat("needs native sidecars, and classic ones are asked for, by ",
                              kAnnotationPrefix,
                              "sidecars or the injector's configuration: a Job would never end "
                              "beside it; leave it out, or write ",
                              kAnnotationPrefix, "sidecars=native"));
  }
  for (const char* const container : {"proxy", "agent", "redirect"}) {
    for (const char* const resource : {"cpu", "memory"}) {
      const std::string request = absl::StrCat(container, "-", resource, "-request"),
                        limit = absl::StrCat(container, "-", resource, "-limit");
      const absl::optional<double> requested = ParseQuantity(settings.GetOr(request, "none")),
                                   limited = ParseQuantity(settings.GetOr(limit, "none"));
      if (requested.has_value() && limited.has_value() && *requested > *limited) {
        return Wrong(request, *settings.Get(request),
                     absl::StrCat("is more than ", kAnnotationPrefix, limit, ", ",
                                  *settings.Get(limit), "; raise that one too"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const Annotation> Annotations() { return kAnnotations; }

absl::optional<double> ParseQuantity(absl::string_view text) {
  constexpr std::pair<absl::string_view, double> kSuffixes[] = {
      {"Ki", 1024.0},
      {"Mi", 1048576.0},
      {"Gi", 1073741824.0},
      {"Ti", 1099511627776.0},
      {"Pi", 1125899906842624.0},
      {"Ei", 1152921504606846976.0},
      {"n", 1e-9},
      {"u", 1e-6},
      {"m", 1e-3},
      {"k", 1e3},
      {"M", 1e6},
      {"G", 1e9},
      {"T", 1e12},
      {"P", 1e15},
      {"E", 1e18},
  };
  double factor = 1;
  for (const auto& [suffix, value] : kSuffixes) {
    if (absl::ConsumeSuffix(&text, suffix)) {
      factor = value;
      break;
    }
  }
  // SimpleAtod would also take "inf" and spaces. With a suffix there is no exponent.
  const size_t mantissa = std::min(text.find_first_not_of("0123456789."), text.size());
  const absl::string_view exponent = text.substr(mantissa);
  if (text.size() > kMaxQuantity || mantissa == 0) return absl::nullopt;
  if (!exponent.empty() && (factor != 1 || !IsExponent(exponent))) return absl::nullopt;
  double number = 0;
  if (!absl::SimpleAtod(text, &number) || !std::isfinite(number) || number <= 0) {
    return absl::nullopt;
  }
  return number * factor;
}

absl::Status CheckAnnotationsSize(const Json& annotations) {
  size_t total = 0;
  if (annotations.is_object()) {
    for (const auto& [name, value] : annotations.get_ref<const Json::object_t&>()) {
      total += name.size() + (value.is_string() ? value.get_ref<const std::string&>().size() : 0);
    }
  }
  if (total <= kMaxAnnotations) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("its annotations are longer than ", kMaxAnnotations, " bytes: take some out"));
}

absl::StatusOr<PodSettings> PodSettings::Create(
    const Json& annotations, const std::map<std::string, std::string>& defaults) {
  PodSettings settings;
  for (const auto& [name, value] : defaults) settings.values_[name] = value;
  if (annotations.is_object()) {
    for (const auto& member : annotations.items()) {
      absl::string_view name = member.key();
      if (!absl::ConsumePrefix(&name, kAnnotationPrefix)) continue;
      if (member.key() == kInjectAnnotation || member.key() == kStatusAnnotation ||
          member.key() == kNotInjectedAnnotation)
        continue;
      if (FindAnnotation(name) == nullptr) {
        settings.warnings_.push_back(absl::StrCat("annotation ", Shortened(member.key()),
                                                  " is not known and changes nothing"));
        continue;
      }
      if (!member.value().is_string()) {
        return Wrong(name, ToText(member.value()), "is not a string; put it in quotes");
      }
      settings.values_[std::string(name)] = member.value().get_ref<const std::string&>();
    }
  }
  for (auto& [name, value] : settings.values_) {
    const Annotation* const annotation = FindAnnotation(name);
    if (annotation == nullptr) return Wrong(name, value, "is not known; see docs/kubernetes.md");
    value = Normalised(*annotation, value);
    std::string wrong = CheckSize(*annotation, value);
    if (wrong.empty()) wrong = CheckValue(*annotation, value);
    if (!wrong.empty()) return Wrong(name, value, wrong);
  }
  RETURN_IF_ERROR(CheckTogether(settings, settings.values_));
  return settings;
}

absl::optional<std::string> PodSettings::Get(absl::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return absl::nullopt;
  return found->second;
}

std::string PodSettings::GetOr(absl::string_view name, absl::string_view missing) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(missing) : found->second;
}

absl::optional<absl::Duration> PodSettings::GetDuration(absl::string_view name) const {
  const auto found = values_.find(name);
  absl::Duration duration;
  if (found == values_.end() || !absl::ParseDuration(found->second, &duration)) {
    return absl::nullopt;
  }
  return duration;
}

void PodSettings::SetDefault(absl::string_view name, std::string value) {
  values_.emplace(name, std::move(value));
}

std::vector<std::string> PodSettings::FlagsFor(Sidecar sidecar) const {
  std::vector<std::string> flags;
  for (const Annotation& annotation : kAnnotations) {
    const bool wanted = sidecar == Sidecar::kAgent   ? annotation.agent
                        : sidecar == Sidecar::kProxy ? annotation.proxy
                                                     : annotation.redirect;
    const auto value = values_.find(annotation.name);
    if (wanted && value != values_.end() && !value->second.empty()) {
      flags.push_back(absl::StrCat("--", FlagOf(annotation.name), "=", value->second));
    }
  }
  return flags;
}

}  // namespace byrnie
