#include "deploy/injector/admission.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kPod[] = R"({"metadata":{"name":"app"},"spec":{"containers":[{"name":"app"}]}})";

std::string Review(absl::string_view pod, absl::string_view more = "",
                   absl::string_view operation = "CREATE", absl::string_view kind = "Pod") {
  return absl::StrCat(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{)",
                      R"("uid":"u-1","kind":{"group":"","version":"v1","kind":")", kind,
                      R"("},"namespace":"demo","operation":")", operation, "\",\"object\":", pod,
                      more, "}}");
}

// The response, of an answer that is a review.
Json Ask(const std::string& body, const InjectorConfig& config = InjectorConfig()) {
  const absl::StatusOr<AdmissionAnswer> answer = AnswerAdmissionReview(config, body);
  EXPECT_THAT(answer, IsOk());
  if (!answer.ok()) return Json::object();
  const absl::StatusOr<Json> review = ParseJson(answer->review, kMaxAdmissionReview);
  EXPECT_THAT(review, IsOk());
  EXPECT_EQ(TextOf(*review, "apiVersion"), "admission.k8s.io/v1");
  EXPECT_EQ(TextOf(*review, "kind"), "AdmissionReview");
  const Json* const response = Find(*review, "response");
  EXPECT_EQ(TextOf(*response, "uid"), "u-1");
  return *response;
}

std::string Audit(const Json& response) {
  return TextOf(response["auditAnnotations"], "injection");
}

Json PatchOf(const Json& response) {
  EXPECT_EQ(TextOf(response, "patchType"), "JSONPatch");
  std::string text;
  EXPECT_TRUE(absl::Base64Unescape(TextOf(response, "patch"), &text));
  return ParseJson(text, kMaxAdmissionReview).value_or(Json(nullptr));
}

TEST(AdmissionTest, APodIsAllowedWithAPatchThatInjectsIt) {
  const Json response = Ask(Review(kPod));
  EXPECT_TRUE(IsTrue(response, "allowed"));
  EXPECT_EQ(Audit(response), "injected");
  EXPECT_EQ(Find(response, "warnings"), nullptr);
  const Json pod = ParseJson(kPod, 1000)->patch(PatchOf(response));
  EXPECT_EQ(TextOf(pod["spec"]["initContainers"][0], "name"), "byrnie-agent");
  // The API server asks again after others have changed the pod.
  const Json again = Ask(Review(ToText(pod)));
  EXPECT_EQ(Audit(again), "unchanged");
  EXPECT_EQ(Find(again, "patch"), nullptr);
}

TEST(AdmissionTest, ADryRunIsAnsweredAsAnyOther) {
  EXPECT_EQ(ToText(Ask(Review(kPod, R"(,"dryRun":true)"))), ToText(Ask(Review(kPod))));
}

TEST(AdmissionTest, WhatCannotBeMeshedIsAllowedWithAWarning) {
  constexpr char kOnTheNode[] = R"({"spec":{"hostNetwork":true,"containers":[{"name":"app"}]}})";
  const std::string review = Review(kOnTheNode);
  const Json response = Ask(review);
  EXPECT_TRUE(IsTrue(response, "allowed"));
  EXPECT_EQ(Audit(response), "refused");
  // A controller keeps the warning to itself: the pod says it, too, and nothing else is changed.
  Json pod = *ParseJson(kOnTheNode, 1000);
  const Json before = pod;
  pod = pod.patch(PatchOf(response));
  EXPECT_THAT(TextOf(pod["metadata"]["annotations"], "byrnie.io/not-injected"),
              StartsWith("it has hostNetwork"));
  EXPECT_TRUE(SameJson(pod["spec"], before["spec"]));
  EXPECT_EQ(Find(Ask(Review(ToText(pod))), "patch"), nullptr) << "the same again";
  // Not once it can be meshed, nor by what it was copied from.
  Remove(&pod["spec"], "hostNetwork");
  pod = pod.patch(PatchOf(Ask(Review(ToText(pod)))));
  EXPECT_EQ(Find(pod["metadata"]["annotations"], "byrnie.io/not-injected"), nullptr);
  EXPECT_NE(Find(pod["metadata"]["annotations"], "byrnie.io/status"), nullptr);
  EXPECT_THAT(ToText(response["warnings"]), HasSubstr("byrnie: this pod is not meshed: it has "
                                                      "hostNetwork"));
  InjectorConfig strict;
  strict.deny_refused = true;
  const Json denied = Ask(review, strict);
  EXPECT_FALSE(IsTrue(denied, "allowed"));
  EXPECT_THAT(TextOf(denied["status"], "message"), HasSubstr("hostNetwork"));
}

TEST(AdmissionTest, WhatCannotBeMeshedAnyMoreLosesItsSidecarAndThatIsSaid) {
  const Json bare = *ParseJson(kPod, 1000);
  const Json injected = bare.patch(PatchOf(Ask(Review(kPod))));
  Json both = injected, without = bare;
  for (Json* const pod : {&both, &without}) {
    (*pod)["spec"]["containers"].push_back(Json::object());
    (*pod)["spec"]["containers"][1]["name"] = "istio-proxy";
  }
  const Json response = Ask(Review(ToText(both)));
  EXPECT_EQ(Audit(response), "refused");
  Json left = both.patch(PatchOf(response));
  EXPECT_THAT(TextOf(left["metadata"]["annotations"], "byrnie.io/not-injected"),
              StartsWith("it has a sidecar of Istio"));
  Remove(&left["metadata"], "annotations");
  EXPECT_TRUE(SameJson(left, without)) << ToText(left);
  EXPECT_THAT(ToText(response["warnings"]),
              HasSubstr("this pod is not meshed, and its sidecar is taken out: it has a sidecar of "
                        "Istio"));
  InjectorConfig strict;
  strict.deny_refused = true;
  EXPECT_FALSE(IsTrue(Ask(Review(ToText(both)), strict), "allowed"));

  Json out = injected;
  (*ObjectIn(&out["metadata"], "labels"))["byrnie.io/inject"] = "false";
  const Json opted_out = Ask(Review(ToText(out)));
  EXPECT_EQ(Audit(opted_out), "opted_out");
  EXPECT_EQ(Find(out.patch(PatchOf(opted_out))["spec"], "initContainers"), nullptr);
  EXPECT_THAT(ToText(opted_out["warnings"]), HasSubstr("the sidecar of this pod is taken out"));

  // As of a manifest that was injected before the upgrade.
  strict.revision = "0-2";
  const Json other = Ask(Review(ToText(injected)), strict);
  EXPECT_EQ(Audit(other), "updated");
  EXPECT_EQ(TextOf(injected.patch(PatchOf(other))["metadata"]["labels"], "byrnie.io/rev"), "0-2");
}

TEST(AdmissionTest, ALockedAnnotationIsRefusedInItsWords) {
  const std::string pod =
      R"({"metadata":{"annotations":{"byrnie.io/image":"evil:1"}},"spec":{"containers":[{"name":"a"}]}})";
  const Json left = Ask(Review(pod));
  EXPECT_EQ(Audit(left), "refused");
  EXPECT_THAT(ToText(left["warnings"]), HasSubstr("its annotation byrnie.io/image"));
  InjectorConfig strict;
  strict.deny_refused = true;
  const Json denied = Ask(Review(pod), strict);
  EXPECT_FALSE(IsTrue(denied, "allowed"));
  EXPECT_THAT(ToText(denied["status"]), HasSubstr("locked_annotations"));
}

TEST(AdmissionTest, OptingOutIsNoWarning) {
  const Json response = Ask(Review(
      R"({"metadata":{"labels":{"byrnie.io/inject":"false"}},"spec":{"containers":[{"name":"a"}]}})"));
  EXPECT_TRUE(IsTrue(response, "allowed"));
  EXPECT_EQ(Audit(response), "opted_out");
  EXPECT_EQ(Find(response, "warnings"), nullptr);
}

TEST(AdmissionTest, AWrongAnnotationIsDenied) {
  const Json response = Ask(Review(
      R"({"metadata":{"annotations":{"byrnie.io/workers":"many"}},"spec":{"containers":[{"name":"a"}]}})"));
  EXPECT_FALSE(IsTrue(response, "allowed"));
  EXPECT_EQ(Find(response, "patch"), nullptr);
  EXPECT_EQ(ToText(response["status"]["code"]), "422");
  EXPECT_THAT(TextOf(response["status"], "message"),
              AllOf(StartsWith("byrnie: "), HasSubstr("byrnie.io/workers=\"many\"")));
}

TEST(AdmissionTest, SaysWhatItCameToAndForWhichPod) {
  const absl::StatusOr<AdmissionAnswer> injected =
      AnswerAdmissionReview(InjectorConfig(), Review(kPod));
  ASSERT_THAT(injected, IsOk());
  EXPECT_EQ(injected->outcome, AdmissionAnswer::Outcome::kInjected);
  EXPECT_EQ(injected->pod_namespace, "demo");
  EXPECT_EQ(injected->pod_name, "app");
  EXPECT_EQ(injected->why, "");
  const absl::StatusOr<AdmissionAnswer> refused = AnswerAdmissionReview(
      InjectorConfig(),
      Review(
          R"({"metadata":{"generateName":"web-"},"spec":{"hostNetwork":true,"containers":[{"name":"a"}]}})"));
  ASSERT_THAT(refused, IsOk());
  EXPECT_EQ(refused->outcome, AdmissionAnswer::Outcome::kRefused);
  EXPECT_EQ(refused->pod_name, "web-");
  EXPECT_THAT(refused->why, HasSubstr("hostNetwork"));
  EXPECT_EQ(AnswerAdmissionReview(InjectorConfig(), Review("{}", "", "UPDATE"))->outcome,
            AdmissionAnswer::Outcome::kNotANewPod);
}

TEST(AdmissionTest, WarningsAreAsShortAsTheApiServerTakesThem) {
  const std::string name(600, 'x');
  const Json response =
      Ask(Review(absl::StrCat(R"({"metadata":{"annotations":{"byrnie.io/)", name,
                              R"(":""}},"spec":{"containers":[{"name":"a"}]}})")));
  const Json::array_t& warnings = ItemsOf(response, "warnings");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_LE(warnings[0].get_ref<const std::string&>().size(), 256u);
}

TEST(AdmissionTest, WhatIsTooLargeIsRefusedBeforeAnybodyLooksAtIt) {
  std::string annotations, values = "0";
  for (int i = 0; i < 15000; ++i)
    absl::StrAppend(&annotations, i == 0 ? "" : ",", "\"a", i, "\":\"\"");
  for (size_t i = 0; i < kMaxReviewValues; ++i) values += ",0";
  const std::string meta =
      absl::StrCat(R"({"metadata":{"annotations":{"b":")", std::string(kMaxAnnotations, 'x'), "\",",
                   annotations, R"(}},"spec":{"containers":[{"name":"a"}]}})");
  const Json response = Ask(Review(meta));
  EXPECT_FALSE(IsTrue(response, "allowed"));
  EXPECT_THAT(TextOf(response["status"], "message"), HasSubstr("longer than 262144 bytes"));
  EXPECT_THAT(AnswerAdmissionReview(InjectorConfig(), Review(absl::StrCat("[", values, "]"))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too many values")));
  EXPECT_THAT(AnswerAdmissionReview(InjectorConfig(), std::string(kMaxAdmissionReview + 1, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is longer than 3145728")));
}

// Not only before what was done to it is taken back, which reads them.
TEST(AdmissionTest, AnnotationsThatAreTooLargeAreRefusedBeforeAnythingElseIsSaid) {
  for (const char* const spec : {R"("hostNetwork":true,"containers":[{"name":"a"}])",
                                 R"("containers":[{"name":"a"},{"name":"byrnie-proxy"}])"}) {
    const Json response = Ask(
        Review(absl::StrCat(R"({"metadata":{"annotations":{"eks.amazonaws.com/skip-containers":")",
                            std::string(kMaxAnnotations, ','),
                            R"(","byrnie.io/status":"{\"lists\":{}}"}},"spec":{)", spec, "}}")));
    EXPECT_FALSE(IsTrue(response, "allowed"));
    EXPECT_THAT(TextOf(response["status"], "message"), HasSubstr("longer than 262144 bytes"));
  }
}

// The most work that lists of a body can be: of names, of which the status says many, too.
TEST(AdmissionTest, APodWithLongListsIsAnswered) {
  std::string secrets, added, found, list;
  for (int i = 0; i < 12000; ++i) {
    absl::StrAppend(&secrets, i == 0 ? "" : ",", R"({"name":"s)", i, R"("})");
    if (i < 5000) absl::StrAppend(&added, i == 0 ? "" : ",", R"(\"s)", 11999 - i, R"(\")");
    if (i < 5000) absl::StrAppend(&found, i == 0 ? "" : ",", R"(\"n)", i, R"(\")");
    absl::StrAppend(&list, i == 0 ? "" : ",", i % 2 == 0 ? "n" : "byrnie-proxy");
  }
  const Json response = Ask(
      Review(absl::StrCat(R"({"metadata":{"annotations":{"eks.amazonaws.com/skip-containers":")",
                          list, R"(","byrnie.io/status":"{\"pull_secrets\":[)", added,
                          R"(],\"lists\":{\"eks.amazonaws.com/skip-containers\":[)", found,
                          R"(]}}"}},"spec":{"containers":[{"name":"a"},{"name":"byrnie-proxy"}],)",
                          R"("imagePullSecrets":[)", secrets, "]}}")));
  EXPECT_TRUE(IsTrue(response, "allowed")) << ToText(response["status"]);
  EXPECT_EQ(Audit(response), "updated");
}

// The most work that a body can be, in the time of a test: many containers, each of whose probes
// was rewritten before, as far as the annotation has room, in another order than there, or is to
// be.
TEST(AdmissionTest, ALargePodIsAnswered) {
  std::string containers, probes;
  constexpr int kContainers = 6000, kRewritten = 1500;
  for (int i = 0; i < kContainers; ++i) {
    const bool rewritten = i >= kContainers - kRewritten;
    absl::StrAppend(&containers, i == 0 ? "" : ",", R"({"name":"c)", i,
                    R"(","livenessProbe":{"httpGet":{"path":"/app-health/c)", i,
                    R"(/liveness","port":)", rewritten ? 15021 : 80, "}}}");
    if (i < kRewritten) {
      absl::StrAppend(&probes, i == 0 ? "" : ",", R"(\"c)", kContainers - 1 - i,
                      R"(\":{\"livenessProbe\":{\"httpGet\":{\"port\":80}}})");
    }
  }
  const Json response = Ask(Review(absl::StrCat(
      R"({"metadata":{"annotations":{"byrnie.io/probes":"rewrite","byrnie.io/status":)",
      R"("{\"revision\":\"default\",\"probes\":{)", probes,
      R"(}}"}},"spec":{"initContainers":[{"name":)", R"("byrnie-proxy"}],"containers":[)",
      containers, "]}}")));
  EXPECT_TRUE(IsTrue(response, "allowed"));
  EXPECT_EQ(Audit(response), "updated");
}

TEST(AdmissionTest, NoAnswerRepeatsWhatIsLong) {
  const std::string text(100000, 'x');
  InjectorConfig strict;
  strict.deny_refused = true;
  for (const std::string& pod :
       {absl::StrCat(R"({"metadata":{"name":")", text, R"("},"spec":{"containers":[{"name":")",
                     text, R"(","ports":[{"containerPort":15001}]}]}})"),
        absl::StrCat(R"({"metadata":{"labels":{"byrnie.io/inject":")", text,
                     R"("}},"spec":{"containers":[{"name":"a"}]}})"),
        absl::StrCat(R"({"metadata":{"annotations":{"byrnie.io/status":"{\"revision\":\")", text,
                     R"(\"}"}},"spec":{"containers":[{"name":"byrnie-proxy"}]}})")}) {
    const absl::StatusOr<AdmissionAnswer> answer = AnswerAdmissionReview(strict, Review(pod));
    ASSERT_THAT(answer, IsOk());
    EXPECT_LT(answer->review.size(), 2000u) << answer->review.substr(0, 2000);
    EXPECT_LT(answer->pod_name.size(), 254u);
    EXPECT_LT(answer->why.size(), 1025u);
  }
}

TEST(AdmissionTest, AllElseIsAllowedAsItIs) {
  for (const std::string& review :
       {Review(kPod, "", "UPDATE"), Review(kPod, R"(,"subResource":"ephemeralcontainers")"),
        Review("{}", "", "CREATE", "Service"), Review("null", "", "DELETE")}) {
    const Json response = Ask(review);
    EXPECT_TRUE(IsTrue(response, "allowed")) << review;
    EXPECT_EQ(Find(response, "patch"), nullptr);
  }
  EXPECT_FALSE(IsTrue(Ask(Review("null")), "allowed"));
}

TEST(AdmissionTest, WhatIsNoReviewIsAnError) {
  for (
      const char* const body :
      {"", "{", "[]", "{}", R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"})",
       R"({"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}})",
       R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":""}})",
       R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":1}})"}) {
    EXPECT_THAT(AnswerAdmissionReview(InjectorConfig(), body),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << body;
  }
}

}  // namespace
}  // namespace byrnie
