#include "deploy/injector/admission.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "deploy/injector/json.h"
#include "deploy/injector/json_diff.h"
#include "deploy/injector/pod_injection.h"

namespace byrnie {
namespace {

constexpr char kApiVersion[] = "admission.k8s.io/v1";
constexpr size_t kMaxUid = 128;
// Longer ones are cut by the API server, or dropped.
constexpr size_t kMaxWarning = 256;
constexpr size_t kMaxWarnings = 16;
constexpr int kUnprocessable = 422;

// Not in the middle of a character.
std::string Cut(std::string text) {
  if (text.size() <= kMaxWarning) return text;
  size_t end = kMaxWarning - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "...");
}

void AddWarning(std::string text, Json* response) {
  Json* const warnings = ArrayIn(response, "warnings");
  if (warnings->size() < kMaxWarnings) {
    warnings->push_back(Cut(absl::StrCat("byrnie: ", std::move(text))));
  }
}

// For the API server's audit log.
void SetAudit(absl::string_view what, Json* response) {
  (*response)["auditAnnotations"]["injection"] = std::string(what);
}

void Deny(absl::string_view why, Json* response) {
  (*response)["allowed"] = false;
  Json* const status = ObjectIn(response, "status");
  (*status)["code"] = kUnprocessable;
  (*status)["reason"] = "Invalid";
  (*status)["message"] = absl::StrCat("byrnie: ", why);
  SetAudit("denied", response);
}

bool MakesPod(const Json& request) {
  const Json* const kind = Find(request, "kind");
  return kind != nullptr && TextOf(*kind, "group").empty() && TextOf(*kind, "version") == "v1" &&
         TextOf(*kind, "kind") == "Pod" && TextOf(request, "operation") == "CREATE" &&
         TextOf(request, "subResource").empty();
}

void AnswerPod(const InjectorConfig& config, const Json& pod, Json* response) {
  Json made = pod;
  const absl::StatusOr<PodOutcome> outcome = InjectPod(config, &made);
  if (!outcome.ok()) return Deny(outcome.status().message(), response);
  for (const std::string& warning : outcome->warnings) AddWarning(warning, response);
  switch (outcome->kind) {
    case PodOutcome::Kind::kUnchanged:
      return SetAudit("unchanged", response);
    case PodOutcome::Kind::kOptedOut:
      return SetAudit("opted out", response);
    case PodOutcome::Kind::kRefused:
      if (config.deny_refused) {
        return Deny(absl::StrCat("this pod cannot be meshed: ", outcome->why), response);
      }
      AddWarning(absl::StrCat("this pod is not meshed: ", outcome->why), response);
      return SetAudit("refused", response);
    case PodOutcome::Kind::kInjected:
    case PodOutcome::Kind::kUpdated:
      break;
  }
  (*response)["patchType"] = "JSONPatch";
  (*response)["patch"] = absl::Base64Escape(ToText(ToJsonPatch(DiffJson(pod, made))));
  SetAudit(outcome->kind == PodOutcome::Kind::kInjected ? "injected" : "updated", response);
}

}  // namespace

absl::StatusOr<std::string> AnswerAdmissionReview(const InjectorConfig& config,
                                                  absl::string_view body) {
  ASSIGN_OR_RETURN(const Json review, ParseJson(body, kMaxAdmissionReview));
  if (TextOf(review, "apiVersion") != kApiVersion || TextOf(review, "kind") != "AdmissionReview") {
    return absl::InvalidArgumentError(absl::StrCat("not an AdmissionReview of ", kApiVersion));
  }
  const Json* const request = Find(review, "request");
  const std::string uid = request == nullptr ? "" : TextOf(*request, "uid");
  if (uid.empty() || uid.size() > kMaxUid) {
    return absl::InvalidArgumentError("an AdmissionReview without a request that has a uid");
  }
  Json answer = Json::object();
  answer["apiVersion"] = kApiVersion;
  answer["kind"] = "AdmissionReview";
  Json* const response = ObjectIn(&answer, "response");
  (*response)["uid"] = uid;
  (*response)["allowed"] = true;
  const Json* const object = Find(*request, "object");
  if (!MakesPod(*request)) {
    SetAudit("not a new pod", response);
  } else if (object == nullptr || !object->is_object()) {
    Deny("the request has no pod", response);
  } else {
    AnswerPod(config, *object, response);
  }
  return ToText(answer);
}

}  // namespace byrnie
