#include "controlplane/policy/kubernetes/access_policy.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/registry/policy_names.h"
#include "controlplane/registry/policy_parser.h"

namespace byrnie {
namespace {

using istio::security::Authorization;

constexpr char kCondition[] = "Accepted";
constexpr int64_t kMaxGeneration = std::numeric_limits<int64_t>::max();
// "prefix/name": 253, 1, 63.
constexpr size_t kMaxLabelKey = 317;
constexpr size_t kMaxLabelValue = 63;

bool IsLabelText(absl::string_view text, absl::string_view more) {
  return std::all_of(text.begin(), text.end(), [more](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           more.find(c) != absl::string_view::npos;
  });
}

// What no pod can have would be about nobody, and be taken for protection.
absl::StatusOr<Labels> ParseSelector(const JsonObject& selector) {
  if (selector.Has("matchExpressions")) {
    return selector.value().Error(
        "\"matchExpressions\" are not supported; say the pods' labels in matchLabels, or give the "
        "pods "
        "that are meant a label of their own, and leave matchExpressions out");
  }
  RETURN_IF_ERROR(selector.CheckKeys({"matchLabels"}));
  ASSIGN_OR_RETURN(JsonObject labels, selector.GetObject("matchLabels"));
  Labels read;
  for (const auto& [key, value] : labels.Members()) {
    ASSIGN_OR_RETURN(std::string text, value.AsString());
    if (key.empty() || key.size() > kMaxLabelKey || !IsLabelText(key, "-_./")) {
      return labels.value().Error(absl::StrCat("\"", key, "\" is no label's key"));
    }
    if (text.size() > kMaxLabelValue || !IsLabelText(text, "-_.")) {
      return value.Error(absl::StrCat("\"", text, "\" is no label's value"));
    }
    read.emplace(key, std::move(text));
  }
  if (read.empty()) return labels.value().Error("is empty; give at least one label");
  return read;
}

absl::Status CheckScope(const JsonObject& spec, const AccessPolicySpec& read,
                        absl::string_view root_namespace) {
  const bool selects = read.policy.scope() == istio::security::WORKLOAD_SELECTOR;
  if (selects && read.selector.empty()) {
    return spec.value().Error(
        "\"selector\" is missing, which scope WORKLOAD_SELECTOR needs; say which pods, or give "
        "scope NAMESPACE");
  }
  if (!selects && !read.selector.empty()) {
    return spec.value().Error(absl::StrCat("\"selector\" means nothing with scope ",
                                           istio::security::Scope_Name(read.policy.scope()),
                                           "; leave it out, or give scope WORKLOAD_SELECTOR"));
  }
  if (read.policy.scope() == istio::security::GLOBAL &&
      read.policy.namespace_() != root_namespace) {
    return spec.value().Error(
        absl::StrCat("scope GLOBAL is for the namespace ", root_namespace,
                     " alone; give scope NAMESPACE, or make the policy there"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AccessPolicyStatus> ParseStatus(const JsonValue& value, std::string* since) {
  ASSIGN_OR_RETURN(JsonObject status, value.AsObject());
  ASSIGN_OR_RETURN(std::vector<JsonValue> conditions, status.GetArrayOrEmpty("conditions"));
  AccessPolicyStatus read;
  bool found = false;
  for (const JsonValue& element : conditions) {
    ASSIGN_OR_RETURN(JsonObject condition, element.AsObject());
    ASSIGN_OR_RETURN(std::string type, condition.GetString("type"));
    if (type != kCondition) continue;
    found = true;
    ASSIGN_OR_RETURN(std::string is, condition.GetString("status"));
    read.accepted = is == "True";
    ASSIGN_OR_RETURN(read.reason, condition.GetString("reason"));
    ASSIGN_OR_RETURN(read.message, condition.GetString("message"));
    ASSIGN_OR_RETURN(read.observed_generation,
                     condition.GetInt("observedGeneration", 0, kMaxGeneration));
    ASSIGN_OR_RETURN(*since, condition.GetString("lastTransitionTime"));
  }
  if (status.Has("lastAccepted")) {
    ASSIGN_OR_RETURN(JsonObject last, status.GetObject("lastAccepted"));
    ASSIGN_OR_RETURN(read.accepted_generation, last.GetInt("generation", 1, kMaxGeneration));
    ASSIGN_OR_RETURN(read.accepted_spec, last.GetString("spec"));
  }
  if (!found && read.accepted_generation == 0) return absl::NotFoundError("it has no condition");
  return read;
}

}  // namespace

bool operator==(const AccessPolicyStatus& a, const AccessPolicyStatus& b) {
  const auto key = [](const AccessPolicyStatus& s) {
    return std::tie(s.accepted, s.reason, s.message, s.observed_generation, s.accepted_generation,
                    s.accepted_spec);
  };
  return key(a) == key(b);
}

absl::StatusOr<AccessPolicySpec> ParseAccessPolicySpec(const JsonValue& spec,
                                                       const ObjectName& name,
                                                       absl::string_view root_namespace) {
  ASSIGN_OR_RETURN(JsonObject object, spec.AsObject());
  RETURN_IF_ERROR(object.CheckKeys({"scope", "action", "dryRun", "selector", "rules"}));
  AccessPolicySpec read;
  read.policy.set_name(name.name);
  read.policy.set_namespace_(name.ns);
  RETURN_IF_ERROR(ParsePolicyBody(object, kObjectPolicyNames, &read.policy));
  if (object.Has("selector")) {
    ASSIGN_OR_RETURN(JsonObject selector, object.GetObject("selector"));
    ASSIGN_OR_RETURN(read.selector, ParseSelector(selector));
  }
  RETURN_IF_ERROR(CheckScope(object, read, root_namespace));
  RETURN_IF_ERROR(CheckPolicy(read.policy));
  if (WriteAccessPolicySpec(read).size() > kMaxPolicyDocument) {
    return spec.Error(
        absl::StrCat("is longer than ", kMaxPolicyDocument, " bytes; make several policies of it"));
  }
  return read;
}

absl::StatusOr<AccessPolicy> ParseAccessPolicy(const JsonValue& value,
                                               absl::string_view root_namespace) {
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(JsonObject metadata, object.GetObject("metadata"));
  AccessPolicy policy;
  ASSIGN_OR_RETURN(policy.name.ns, metadata.GetString("namespace"));
  ASSIGN_OR_RETURN(policy.name.name, metadata.GetString("name"));
  ASSIGN_OR_RETURN(policy.uid, metadata.GetString("uid"));
  ASSIGN_OR_RETURN(policy.resource_version, metadata.GetString("resourceVersion"));
  ASSIGN_OR_RETURN(policy.generation, metadata.GetInt("generation", 0, kMaxGeneration));
  const absl::StatusOr<JsonValue> spec = object.Get("spec");
  policy.spec = spec.ok() ? ParseAccessPolicySpec(*spec, policy.name, root_namespace)
                          : absl::StatusOr<AccessPolicySpec>(spec.status());
  const absl::optional<JsonValue> status = object.Find("status");
  if (!status.has_value()) return policy;
  const absl::StatusOr<AccessPolicyStatus> read = ParseStatus(*status, &policy.since);
  if (read.ok()) policy.status = *read;
  return policy;
}

std::string WriteAccessPolicySpec(const AccessPolicySpec& spec) {
  JsonWriter json;
  json.BeginObject();
  WritePolicyBody(spec.policy, kObjectPolicyNames, &json);
  if (!spec.selector.empty()) {
    json.Key("selector").BeginObject().Key("matchLabels").BeginObject();
    for (const auto& [key, value] : spec.selector) json.Field(key, value);
    json.EndObject().EndObject();
  }
  json.EndObject();
  return std::move(json).Finish();
}

}  // namespace byrnie
