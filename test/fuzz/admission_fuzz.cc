// What an API server sends to the injector: whoever may create pods writes most of it.

#include <string>

#include "absl/strings/escaping.h"
#include "common/base/check.h"
#include "deploy/injector/admission.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/pod_injection.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// The review with the pod as the answer's patch leaves it; empty where there is no patch.
std::string Patched(const std::string& body, const std::string& answer) {
  Json review = ParseJson(body, kMaxAdmissionReview).value_or(Json(nullptr));
  const absl::StatusOr<Json> said = ParseJson(answer, kMaxAdmissionReview);
  CHECK(said.ok());
  const Json* const patch = FindPath(*said, {"response", "patch"});
  if (patch == nullptr) return "";
  std::string text;
  CHECK(absl::Base64Unescape(patch->get_ref<const std::string&>(), &text));
  Json& object = review["request"]["object"];
  object = object.patch(ParseJson(text, kMaxAdmissionReview).value_or(Json::array()));
  return ToText(review);
}

}  // namespace
}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace byrnie;
  const std::string body(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<AdmissionAnswer> answer = AnswerAdmissionReview(InjectorConfig(), body);
  if (!answer.ok()) return 0;
  const std::string patched = Patched(body, answer->review);
  if (patched.empty()) return 0;
  // Asked again, there is nothing left to do.
  const absl::StatusOr<AdmissionAnswer> again = AnswerAdmissionReview(InjectorConfig(), patched);
  CHECK(again.ok());
  CHECK(Patched(patched, again->review).empty());
  return 0;
}

namespace byrnie {

// A pod with our sidecar, of which somebody has said something since.
static std::string ChangedSince() {
  Json pod = ParseJson(R"({"spec":{"containers":[{"name":"a"}]}})", 1000).value_or(Json());
  CHECK(InjectPod(InjectorConfig(), &pod).ok());
  Json& proxy = pod["spec"]["initContainers"][1];
  proxy["image"] = "mirror/byrnie";
  proxy["env"].push_back(Json::object({{"name", "TZ"}, {"value", "UTC"}}));
  proxy["args"].push_back("--more");
  return ToText(pod);
}

std::vector<std::string> FuzzSeeds() {
  const std::string head =
      R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","kind":)"
      R"({"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":)";
  return {
      head + R"({"spec":{"containers":[{"name":"a"}]}}}})",
      head + R"({"metadata":{"annotations":{"byrnie.io/log-level":"debug","byrnie.io/sidecars":
      "classic","byrnie.io/probe-ports":"1,2","byrnie.io/exclude-uids":"1-2"},"labels":{
      "byrnie.io/inject":"true"}},"spec":{"initContainers":[{"name":"i","restartPolicy":"Always"}],
      "containers":[{"name":"a","ports":[{"name":"p","containerPort":80}],"livenessProbe":{"httpGet":
      {"port":"p"}},"readinessProbe":{"grpc":{"port":81}}}],"volumes":[{"name":"v"}]}}}})",
      head +
          R"({"metadata":{"annotations":{"byrnie.io/status":"{\"revision\":\"default\"}"}},"spec":
      {"hostNetwork":true,"restartPolicy":"Never","initContainers":[{"name":"byrnie-proxy"}],
      "containers":[{"name":"b"}],"terminationGracePeriodSeconds":5}}}})",
      head + ChangedSince() + "}}",
  };
}

}  // namespace byrnie
