#include "deploy/injector/injector_config.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"
#include "common/net/host_port.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/image_reference.h"
#include "deploy/injector/json.h"

namespace byrnie {
namespace {

constexpr int kShortestToken = 600;  // The API server's own limit.
constexpr int kLongestToken = 86400;

// Nothing that the kubelet would expand, "$(NAME)", or that another reader would take apart.
bool IsPlain(absl::string_view text, absl::string_view others) {
  return text.size() <= 1024 && std::all_of(text.begin(), text.end(), [others](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains(others, absl::string_view(&c, 1));
         });
}

// As the API server has it for names of Secrets and ConfigMaps: between points, too, a name begins
// and ends with a letter or a digit.
bool IsObjectName(absl::string_view text) {
  const auto edge = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  if (text.size() > 253) return false;
  for (const absl::string_view part : absl::StrSplit(text, '.')) {
    if (part.empty() || !edge(part.front()) || !edge(part.back()) ||
        !std::all_of(part.begin(), part.end(), [&edge](char c) { return edge(c) || c == '-'; })) {
      return false;
    }
  }
  return true;
}

// Of a label.
bool IsLabelValue(absl::string_view text) {
  return !text.empty() && text.size() <= 63 && absl::ascii_isalnum(text.front()) &&
         absl::ascii_isalnum(text.back());
}

absl::Status CheckControlPlanes(absl::string_view text) {
  int count = 0;
  for (const absl::string_view target : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    RETURN_IF_ERROR(CheckHostPort(target));
    ++count;
  }
  return count > 0 ? absl::OkStatus() : absl::InvalidArgumentError("it names none");
}

// "FIELD: "VALUE" WHAT; REMEDY".
absl::Status Wrong(absl::string_view field, absl::string_view value, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": \"", Shortened(value), "\" ", what));
}

absl::Status CheckLocked(const std::vector<std::string>& names) {
  const absl::Span<const Annotation> known = Annotations();
  for (const std::string& name : names) {
    if (absl::StrCat(kAnnotationPrefix, name) == kInjectAnnotation) continue;
    if (std::none_of(known.begin(), known.end(),
                     [&name](const Annotation& one) { return one.name == name; })) {
      return Wrong("locked_annotations", name,
                   "is no annotation; write names of docs/kubernetes.md without byrnie.io/, or "
                   "[] for none");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPullSecrets(const std::vector<std::string>& names) {
  if (names.size() > kMaxPullSecrets) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMaxPullSecrets, " names of Secrets"));
  }
  for (const std::string& name : names) {
    if (!IsObjectName(name)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no name of a Secret"));
    }
  }
  return absl::OkStatus();
}

absl::Status InjectorConfig::Check() const {
  const struct {
    const char* name;
    const std::string& value;
    absl::string_view others;
    bool may_be_empty;
  } texts[] = {
      {"image", image, "./:@_-[]", false},
      {"control_plane", control_plane, ".:-_[],", false},
      {"trust_domain", trust_domain, ".-_", false},
      {"token_audience", token_audience, "./:-_", false},
      {"trust_bundle_config_map", trust_bundle_config_map, ".-", false},
      {"cluster_id", cluster_id, "./:-_", false},
      {"network", network, "./:-_", true},
      {"revision", revision, ".-_", false},
  };
  for (const auto& text : texts) {
    if ((text.value.empty() && !text.may_be_empty) || !IsPlain(text.value, text.others)) {
      return absl::InvalidArgumentError(
          absl::StrCat(text.name, ": \"", text.value, "\" is ",
                       text.value.empty() ? "empty" : "not made of letters, digits and ",
                       text.value.empty() ? "" : text.others));
    }
  }
  // With any of these each new pod of the mesh would be refused, or wait for ever.
  const absl::Status reference = CheckImageReference(image);
  if (!reference.ok()) {
    return Wrong(
        "image", image,
        absl::StrCat(reference.message(),
                     "; write one like registry.example/byrnie:0.1.0, as kubelets take it"));
  }
  const absl::Status targets = CheckControlPlanes(control_plane);
  if (!targets.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("control_plane: ", targets.message(),
                     "; write one like byrnie-controlplane.byrnie-system.svc:15012, or several "
                     "with commas between them"));
  }
  const absl::Status domain = SpiffeId::CheckTrustDomain(trust_domain);
  if (!domain.ok())
    return absl::InvalidArgumentError(absl::StrCat("trust_domain: ", domain.message()));
  if (!IsObjectName(trust_bundle_config_map)) {
    return Wrong(
        "trust_bundle_config_map", trust_bundle_config_map,
        "is no name of a ConfigMap; leave it out for byrnie-trust-bundle, which the control "
        "plane writes");
  }
  if (!IsLabelValue(revision)) {
    return Wrong(
        "revision", revision,
        "is no value of a label; write at most 63 letters, digits, - _ and ., with a letter "
        "or a digit first and last");
  }
  const absl::Status secrets = CheckPullSecrets(image_pull_secrets);
  if (!secrets.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("image_pull_secrets: ", secrets.message()));
  }
  if (token_seconds < kShortestToken || token_seconds > kLongestToken) {
    return absl::InvalidArgumentError(absl::StrCat("token_seconds: ", token_seconds,
                                                   " is not between ", kShortestToken, " and ",
                                                   kLongestToken));
  }
  RETURN_IF_ERROR(CheckLocked(locked_annotations));
  return PodSettings::Create(Json::object(), defaults).status();
}

absl::StatusOr<InjectorConfig> InjectorConfig::Parse(absl::string_view text) {
  return Parse(text, InjectorConfig());
}

absl::StatusOr<InjectorConfig> InjectorConfig::Parse(absl::string_view text, InjectorConfig base) {
  InjectorConfig config = std::move(base);
  ASSIGN_OR_RETURN(const JsonValue value, JsonValue::Parse(text, kMaxInjectorConfig));
  ASSIGN_OR_RETURN(const JsonObject object, value.AsObject());
  RETURN_IF_ERROR(
      object.CheckKeys({"image", "image_pull_secrets", "control_plane", "trust_domain",
                        "token_audience", "token_seconds", "trust_bundle_config_map", "cluster_id",
                        "network", "revision", "deny_refused", "locked_annotations", "defaults"}));
  const std::pair<const char*, std::string*> texts[] = {
      {"image", &config.image},
      {"control_plane", &config.control_plane},
      {"trust_domain", &config.trust_domain},
      {"token_audience", &config.token_audience},
      {"trust_bundle_config_map", &config.trust_bundle_config_map},
      {"cluster_id", &config.cluster_id},
      {"network", &config.network},
      {"revision", &config.revision}};
  for (const auto& [name, member] : texts) {
    ASSIGN_OR_RETURN(*member, object.GetStringOr(name, *member));
  }
  if (object.Has("image_pull_secrets")) {
    ASSIGN_OR_RETURN(config.image_pull_secrets, object.GetStringArrayOrEmpty("image_pull_secrets"));
  }
  ASSIGN_OR_RETURN(const int64_t seconds, object.GetIntOr("token_seconds", kShortestToken,
                                                          kLongestToken, config.token_seconds));
  config.token_seconds = static_cast<int>(seconds);
  ASSIGN_OR_RETURN(config.deny_refused, object.GetBoolOr("deny_refused", config.deny_refused));
  if (object.Has("locked_annotations")) {
    ASSIGN_OR_RETURN(config.locked_annotations, object.GetStringArrayOrEmpty("locked_annotations"));
  }
  if (object.Has("defaults")) {
    ASSIGN_OR_RETURN(const JsonObject defaults, object.GetObject("defaults"));
    for (const auto& [name, member] : defaults.Members()) {
      ASSIGN_OR_RETURN(config.defaults[name], member.AsString());
    }
  }
  RETURN_IF_ERROR(config.Check());
  return config;
}

}  // namespace byrnie
