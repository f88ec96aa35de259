#ifndef BYRNIE_DEPLOY_INJECTOR_ADMISSION_H_
#define BYRNIE_DEPLOY_INJECTOR_ADMISSION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {

// An API server takes no larger request from anybody, and keeps no object of half of that.
inline constexpr size_t kMaxAdmissionReview = 3 * 1024 * 1024;
// Members, elements and what they are in, of a whole review. A pod with a thousand variables, and
// with what the API server notes of each, has a fifth of that.
inline constexpr size_t kMaxReviewValues = 40000;

// What is said to an API server, and for logs and metrics what it came to.
struct AdmissionAnswer {
  enum class Outcome {
    kInjected,
    kUpdated,
    kUnchanged,
    kOptedOut,
    kRefused,  // Allowed, without a sidecar, because it cannot have one.
    kDenied,
    kNotANewPod,
  };
  // All of them.
  static constexpr Outcome kOutcomes[] = {
      Outcome::kInjected, Outcome::kUpdated, Outcome::kUnchanged,  Outcome::kOptedOut,
      Outcome::kRefused,  Outcome::kDenied,  Outcome::kNotANewPod,
  };
  // "injected", "opted_out"; also what the API server's audit log is told.
  static absl::string_view NameOf(Outcome outcome);

  Outcome outcome = Outcome::kNotANewPod;
  // The AdmissionReview, JSON.
  std::string review;
  // Of the pod; its name, or what its name is to begin with, may be empty.
  std::string pod_namespace, pod_name;
  // For kOptedOut, kRefused and kDenied.
  std::string why;
};

// Answers what an API server asks a mutating webhook: an AdmissionReview
// (admission.k8s.io/v1) with a request, as JSON. The answer is one with a response: a pod to be
// made is allowed with a JSON Patch, or without one and with a warning where it is not to be meshed
// or cannot be; it is denied, 422, where an annotation of ours is wrong, or, with
// InjectorConfig::deny_refused, where it cannot be meshed. All else is allowed as it is. It has no
// side effect, so that a dry run is answered as any other. InvalidArgument when `body` is no such
// review: there is no uid to answer to, and HTTP has to say so (400). What it takes is in
// proportion to the body, whatever that says, and no answer repeats what is long in it. Pure.
absl::StatusOr<AdmissionAnswer> AnswerAdmissionReview(const InjectorConfig& config,
                                                      absl::string_view body);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_ADMISSION_H_
