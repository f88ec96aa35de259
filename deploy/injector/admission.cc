#include "deploy/injector/admission.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/json.h"
#include "deploy/injector/json_diff.h"
#include "deploy/injector/pod_injection.h"

namespace byrnie {
namespace {

using Outcome = AdmissionAnswer::Outcome;

constexpr char kApiVersion[] = "admission.k8s.io/v1";
constexpr size_t kMaxUid = 128;
// Longer ones are cut by the API server, or dropped.
constexpr size_t kMaxWarning = 256;
constexpr size_t kMaxWarnings = 16;
constexpr size_t kMaxReason = 1024;
// Of the annotation.
constexpr size_t kMaxAnnotation = 256;
// Of a pod and of a namespace.
constexpr size_t kMaxName = 253;
constexpr int kUnprocessable = 422;

void AddWarning(absl::string_view text, Json* response) {
  Json* const warnings = ArrayIn(response, "warnings");
  if (warnings->size() < kMaxWarnings) {
    warnings->push_back(Shortened(absl::StrCat("byrnie: ", text), kMaxWarning));
  }
}

void Deny(absl::string_view why, AdmissionAnswer* answer, Json* response) {
  (*response)["allowed"] = false;
  Json* const status = ObjectIn(response, "status");
  (*status)["code"] = kUnprocessable;
  (*status)["reason"] = "Invalid";
  (*status)["message"] = Shortened(absl::StrCat("byrnie: ", why), kMaxReason);
  answer->outcome = Outcome::kDenied;
  answer->why = Shortened(why, kMaxReason);
}

bool MakesPod(const Json& request) {
  const Json* const kind = Find(request, "kind");
  return kind != nullptr && TextOf(*kind, "group").empty() && TextOf(*kind, "version") == "v1" &&
         TextOf(*kind, "kind") == "Pod" && TextOf(request, "operation") == "CREATE" &&
         TextOf(request, "subResource").empty();
}

// Of one that a controller makes it is not there yet.
std::string NameOfPod(const Json& pod) {
  const Json* const metadata = Find(pod, "metadata");
  if (metadata == nullptr) return "";
  const std::string name = TextOf(*metadata, "name");
  return name.empty() ? TextOf(*metadata, "generateName") : name;
}

Outcome OutcomeOf(PodOutcome::Kind kind) {
  switch (kind) {
    case PodOutcome::Kind::kInjected:
      return Outcome::kInjected;
    case PodOutcome::Kind::kUpdated:
      return Outcome::kUpdated;
    case PodOutcome::Kind::kUnchanged:
      return Outcome::kUnchanged;
    case PodOutcome::Kind::kOptedOut:
      return Outcome::kOptedOut;
    case PodOutcome::Kind::kRefused:
      break;
  }
  return Outcome::kRefused;
}

// Takes the annotation out that an earlier answer, or whoever a pod was copied from, has left.
void RemoveReason(Json* pod) {
  Json* const metadata = Find(pod, "metadata");
  Json* const annotations = metadata == nullptr ? nullptr : Find(metadata, "annotations");
  if (annotations == nullptr || !annotations->is_object() ||
      Find(*annotations, kNotInjectedAnnotation) == nullptr) {
    return;
  }
  Remove(annotations, kNotInjectedAnnotation);
  if (annotations->empty()) Remove(metadata, "annotations");
}

// A warning goes to whoever makes the pod, which is most often a controller that tells nobody.
void AddReason(const PodOutcome& outcome, Json* pod) {
  // What the node has made already says what the node says.
  if (FindPath(*pod, {"metadata", "annotations", "kubernetes.io/config.mirror"}) != nullptr) return;
  (*ObjectIn(ObjectIn(pod, "metadata"), "annotations"))[std::string(kNotInjectedAnnotation)] =
      Shortened(outcome.why, kMaxAnnotation);
}

void AnswerPod(const InjectorConfig& config, const Json& pod, AdmissionAnswer* answer,
               Json* response) {
  Json made = pod;
  RemoveReason(&made);
  const absl::StatusOr<PodOutcome> outcome = InjectPod(config, &made);
  if (!outcome.ok()) return Deny(outcome.status().message(), answer, response);
  for (const std::string& warning : outcome->warnings) AddWarning(warning, response);
  answer->outcome = OutcomeOf(outcome->kind);
  answer->why = Shortened(outcome->why, kMaxReason);
  if (answer->outcome == Outcome::kRefused) {
    if (config.deny_refused) {
      return Deny(absl::StrCat("this pod cannot be meshed: ", outcome->why), answer, response);
    }
    AddWarning(
        absl::StrCat(outcome->taken_out ? "this pod is not meshed, and its sidecar is taken out: "
                                        : "this pod is not meshed: ",
                     outcome->why),
        response);
    AddReason(*outcome, &made);
  } else if (outcome->taken_out) {
    AddWarning(absl::StrCat("the sidecar of this pod is taken out: ", outcome->why), response);
  }
  if (SameJson(pod, made)) return;
  (*response)["patchType"] = "JSONPatch";
  (*response)["patch"] = absl::Base64Escape(ToText(ToJsonPatch(DiffJson(pod, made))));
}

}  // namespace

absl::string_view AdmissionAnswer::NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kInjected:
      return "injected";
    case Outcome::kUpdated:
      return "updated";
    case Outcome::kUnchanged:
      return "unchanged";
    case Outcome::kOptedOut:
      return "opted_out";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kDenied:
      return "denied";
    case Outcome::kNotANewPod:
      break;
  }
  return "not_a_new_pod";
}

absl::StatusOr<AdmissionAnswer> AnswerAdmissionReview(const InjectorConfig& config,
                                                      absl::string_view body) {
  ASSIGN_OR_RETURN(const Json review, ParseJson(body, kMaxAdmissionReview, kMaxReviewValues));
  if (TextOf(review, "apiVersion") != kApiVersion || TextOf(review, "kind") != "AdmissionReview") {
    return absl::InvalidArgumentError(absl::StrCat("not an AdmissionReview of ", kApiVersion));
  }
  const Json* const request = Find(review, "request");
  const std::string uid = request == nullptr ? "" : TextOf(*request, "uid");
  if (uid.empty() || uid.size() > kMaxUid) {
    return absl::InvalidArgumentError("an AdmissionReview without a request that has a uid");
  }
  AdmissionAnswer answer;
  Json said = Json::object();
  said["apiVersion"] = kApiVersion;
  said["kind"] = "AdmissionReview";
  Json* const response = ObjectIn(&said, "response");
  (*response)["uid"] = uid;
  (*response)["allowed"] = true;
  if (MakesPod(*request)) {
    const Json* const object = Find(*request, "object");
    answer.pod_namespace = Shortened(TextOf(*request, "namespace"), kMaxName);
    if (object == nullptr || !object->is_object()) {
      Deny("the request has no pod", &answer, response);
    } else {
      answer.pod_name = Shortened(NameOfPod(*object), kMaxName);
      AnswerPod(config, *object, &answer, response);
    }
  }
  // For the API server's audit log.
  (*response)["auditAnnotations"]["injection"] =
      std::string(AdmissionAnswer::NameOf(answer.outcome));
  answer.review = ToText(said);
  return answer;
}

}  // namespace byrnie
