#include "deploy/injector/manifest.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// What injecting testdata/NAME.in.yaml gives is testdata/NAME.out.yaml. With BYRNIE_WRITE_GOLDEN, a
// folder, the files are written there instead.
class GoldenTest : public ::testing::TestWithParam<const char*> {
 protected:
  static std::string Read(const std::string& name) {
    absl::StatusOr<std::string> text =
        ReadFile(absl::StrCat("deploy/injector/testdata/", name), kMaxManifest);
    EXPECT_THAT(text, IsOk());
    return text.value_or("");
  }
  static std::string Golden(const ManifestResult& result) {
    std::string text = result.text;
    for (const std::string& note : result.notes) absl::StrAppend(&text, "#> ", note, "\n");
    return text;
  }
};

TEST_P(GoldenTest, IsInjectedAsTheFileSaysAndAgainWithoutAChangeAndBack) {
  const std::string input = Read(absl::StrCat(GetParam(), ".in.yaml"));
  ASSERT_OK_AND_ASSIGN(const ManifestResult result, InjectManifest(InjectorConfig(), input));
  const char* const folder = std::getenv("BYRNIE_WRITE_GOLDEN");
  if (folder != nullptr) {
    std::ofstream(absl::StrCat(folder, "/", GetParam(), ".out.yaml")) << Golden(result);
  } else {
    EXPECT_EQ(Golden(result), Read(absl::StrCat(GetParam(), ".out.yaml")));
  }

  ASSERT_OK_AND_ASSIGN(const ManifestResult again, InjectManifest(InjectorConfig(), result.text));
  EXPECT_EQ(again.text, result.text);

  ASSERT_OK_AND_ASSIGN(const ManifestResult back, UninjectManifest(result.text));
  // To the byte where lines were added alone.
  if (!absl::StrContains(absl::StrJoin(result.notes, "\n"), "written anew") &&
      !absl::StrContains(input, "spec: {containers") && !absl::StartsWith(input, "{")) {
    EXPECT_EQ(back.text, input);
  }
  ASSERT_OK_AND_ASSIGN(const ManifestResult twice, UninjectManifest(back.text));
  EXPECT_EQ(twice.text, back.text);
}

INSTANTIATE_TEST_SUITE_P(Manifests, GoldenTest,
                         ::testing::Values("annotations", "classic", "cronjob", "daemonset",
                                           "deployment", "guaranteed", "host_network",
                                           "init_containers", "job", "json", "list", "opted_out",
                                           "other_mesh", "pod", "probes_rewritten", "replicaset",
                                           "several_containers", "statefulset"));

ManifestResult Inject(absl::string_view text) {
  absl::StatusOr<ManifestResult> result = InjectManifest(InjectorConfig(), text);
  EXPECT_THAT(result, IsOk());
  return result.value_or(ManifestResult());
}

constexpr char kPod[] = R"(apiVersion: v1
kind: Pod
metadata:
  name: app
spec:
  containers:
  - name: app
    image: example/app:1
)";

TEST(ManifestTest, LeavesWhatMakesNoPodsToTheByte) {
  const std::string text =
      "# only\n---\n\n---\nkind:   ConfigMap\ndata: {a: 'b'}\n...\n---\n- 1\n--- text\n";
  const ManifestResult result = Inject(text);
  EXPECT_EQ(result.text, text);
  EXPECT_THAT(result.notes, IsEmpty());
}

TEST(ManifestTest, LeavesTheOtherDocumentsToTheByte) {
  const std::string other = "kind:   ConfigMap   # odd\ndata:\n      a:  'b'\n";
  const std::string text = absl::StrCat(other, "---\n", kPod, "---\n", other);
  const ManifestResult result = Inject(text);
  EXPECT_TRUE(absl::StartsWith(result.text, absl::StrCat(other, "---\n")));
  EXPECT_TRUE(absl::EndsWith(result.text, absl::StrCat("---\n", other)));
  EXPECT_THAT(result.notes, ElementsAre("Pod app: injected"));
}

TEST(ManifestTest, AWrongAnnotationChangesNothingAndIsNamed) {
  const std::string text = absl::StrCat(
      kPod, "---\n",
      absl::StrReplaceAll(kPod, {{"  name: app\nspec",
                                  "  name: bad\n  annotations: {byrnie.io/log-level: loud}\n"
                                  "spec"}}));
  EXPECT_THAT(InjectManifest(InjectorConfig(), text),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("Pod bad"), HasSubstr("byrnie.io/log-level=\"loud\""),
                             HasSubstr("error, warning, info, debug"))));
}

TEST(ManifestTest, WhatWasEmptyIsSoAgain) {
  const std::string deployment = R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: d}   # kept
spec:
  template:
    metadata:
      annotations: {}
      labels:
    spec:
      initContainers: []
      volumes:
      containers:
      - name: a   # kept, too
        image: a
)";
  for (const std::string& text :
       {deployment,
        absl::StrReplaceAll(deployment, {{"    metadata:\n      annotations: {}\n      labels:\n",
                                          "    metadata:\n"}}),
        absl::StrReplaceAll(deployment, {{"annotations: {}\n      labels:\n", "labels: {}\n"},
                                         {"      volumes:\n", "      volumes: []\n"}})}) {
    const ManifestResult injected = Inject(text);
    EXPECT_THAT(injected.notes, ElementsAre("Deployment d: injected"));
    EXPECT_THAT(Inject(injected.text).text, injected.text);
    ASSERT_OK_AND_ASSIGN(const ManifestResult back, UninjectManifest(injected.text));
    EXPECT_EQ(back.text, text);
  }
}

TEST(ManifestTest, ACommandInBracketsIsChangedAlone) {
  const std::string job = R"(# A job.
apiVersion: batch/v1
kind: Job
metadata: {name: j}   # kept
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: first
        image: a
        command: [sh, -c, "a  b"]
      - name: second   # kept, too
        image: b
        command: ["b"]
        volumeMounts:
        - {name: data, mountPath: /d}
)";
  InjectorConfig classic;
  classic.defaults["sidecars"] = "classic";
  ASSERT_OK_AND_ASSIGN(const ManifestResult injected, InjectManifest(classic, job));
  EXPECT_THAT(injected.notes, ElementsAre("Job j: injected"));
  EXPECT_THAT(injected.text, AllOf(HasSubstr("metadata: {name: j}   # kept\n"),
                                   HasSubstr("- name: second   # kept, too\n")));
  ASSERT_OK_AND_ASSIGN(const ManifestResult again, InjectManifest(classic, injected.text));
  EXPECT_EQ(again.text, injected.text);
  ASSERT_OK_AND_ASSIGN(const ManifestResult back, UninjectManifest(injected.text));
  EXPECT_THAT(back.notes, ElementsAre("Job j: sidecar taken out"));
  EXPECT_THAT(back.text, AllOf(HasSubstr("metadata: {name: j}   # kept\n"),
                               HasSubstr("- name: second   # kept, too\n"),
                               HasSubstr("        - {name: data, mountPath: /d}\n")));
}

TEST(ManifestTest, NamesTheLineOfWhatIsNoYaml) {
  EXPECT_THAT(InjectManifest(InjectorConfig(), "kind: Pod\nspec: [\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line ")));
  EXPECT_THAT(InjectManifest(InjectorConfig(), "kind: Pod\nkind: Pod\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2")));
  for (const std::string& text : {std::string("\0k: v", 5), std::string("\xFF\xFEk"),
                                  std::string("k: \xF7\n"), std::string("k: \xC0\x80\n")}) {
    EXPECT_THAT(InjectManifest(InjectorConfig(), text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("UTF-8")));
  }
}

TEST(ManifestTest, SaysWhatItCannotKeep) {
  const std::string text = absl::StrReplaceAll(
      kPod, {{"spec:\n", "spec: &s   # a comment\n"}, {"  containers:\n", "  containers: &c\n"}});
  const ManifestResult result = Inject(absl::StrCat(text, "other: *s\n"));
  // Whatever becomes of the anchor, the object is what it is to be.
  EXPECT_THAT(result.notes, Contains("Pod app: injected"));
  EXPECT_THAT(result.text, HasSubstr("byrnie-proxy"));
}

// What stands on lines that change and cannot stay there is not lost in silence.
TEST(ManifestTest, NamesTheCommentsAndAliasesThatAreGone) {
  InjectorConfig classic;
  classic.defaults["sidecars"] = "classic";
  const ManifestResult job = *InjectManifest(
      classic,
      "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n"
      "    spec:\n      restartPolicy: Never\n      containers:\n        - name: a\n"
      "          command: [run, \"# no comment\"]  # says why\n"
      "          image: b  # stays\n");
  EXPECT_THAT(job.notes, Contains("comments of lines that change are gone: # says why"));
  EXPECT_THAT(job.text, HasSubstr("# stays"));
  const ManifestResult alias = Inject(
      "apiVersion: v1\nkind: Pod\nx: &l\n  app: a\nmetadata:\n  labels: *l\nspec:\n"
      "  containers:\n    - name: it's  # a comment\n");
  EXPECT_THAT(alias.notes, Contains(HasSubstr("an alias of what changes is written out")));
  EXPECT_THAT(alias.notes, Not(Contains(HasSubstr("comments"))));
  EXPECT_THAT(Inject(absl::StrCat("# first\n", kPod, "# last\n")).notes,
              ElementsAre("Pod app: injected"));
}

TEST(ManifestTest, KeepsLineEndsAMarkAndAMissingLastNewline) {
  const std::string windows = absl::StrReplaceAll(kPod, {{"\n", "\r\n"}});
  const std::string injected = Inject(windows).text;
  EXPECT_THAT(injected, AllOf(HasSubstr("image: example/app:1\r\n"), HasSubstr("byrnie-proxy")));
  EXPECT_THAT(absl::StrReplaceAll(injected, {{"\r\n", ""}}), Not(HasSubstr("\n")));
  EXPECT_EQ(injected, absl::StrReplaceAll(Inject(kPod).text, {{"\n", "\r\n"}}));
  ASSERT_OK_AND_ASSIGN(const ManifestResult back, UninjectManifest(injected));
  EXPECT_EQ(back.text, windows);
  const ManifestResult marked = Inject(absl::StrCat("\xEF\xBB\xBF", kPod));
  EXPECT_TRUE(absl::StartsWith(marked.text,
                               "\xEF\xBB\xBF"
                               "apiVersion"));
  std::string unended = kPod;
  unended.pop_back();
  EXPECT_EQ(Inject(unended).text, Inject(kPod).text);
}

// A newline more would be one of the text that begins with the bar.
TEST(ManifestTest, ATextOfSeveralLinesThatEndsTheFileStays) {
  const std::string text = "--- |\n  x\n  y";
  const ManifestResult result = Inject(absl::StrCat(kPod, text));
  EXPECT_TRUE(absl::EndsWith(result.text, text));
  EXPECT_THAT(result.notes, ElementsAre("Pod app: injected"));
  EXPECT_EQ(UninjectManifest(result.text)->text, absl::StrCat(kPod, text));
}

TEST(ManifestTest, TellsOfKindsItDoesNotKnow) {
  const std::string rollout = absl::StrCat(
      "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec:\n  template:\n",
      "    spec:\n      containers: [{name: a, image: b}]\n");
  const ManifestResult result = Inject(rollout);
  EXPECT_EQ(result.text, rollout);
  EXPECT_THAT(result.notes, ElementsAre(HasSubstr("Rollout")));
  // Wherever they have the containers, also in a list.
  for (const std::string& text :
       {std::string(
            "kind: JobSet\napiVersion: jobset.x-k8s.io/v1alpha2\nmetadata: {name: r}\nspec:\n"
            "  replicatedJobs: [{template: {spec: {template: {spec: {containers: [{name: "
            "a}]}}}}}]\n"),
        std::string("kind: CronWorkflow\napiVersion: argoproj.io/v1alpha1\nmetadata: {name: r}\n"
                    "spec: {workflowSpec: {templates: [{name: t, container: {image: b}}]}}\n"),
        std::string("kind: List\napiVersion: v1\nitems:\n  - kind: Rollout\n    metadata: {name: "
                    "r}\n    spec: {template: {spec: {containers: [{name: a}]}}}\n")}) {
    const ManifestResult other = Inject(text);
    EXPECT_EQ(other.text, text);
    EXPECT_THAT(other.notes, ElementsAre(HasSubstr(" r: of no kind that is known here"))) << text;
    // Nobody meshes them where no webhook is.
    EXPECT_THAT(other.notes, ElementsAre(HasSubstr("they are not meshed")));
    EXPECT_TRUE(other.refused);
  }
  EXPECT_THAT(Inject("kind: Service\napiVersion: v1\nspec: {ports: [{port: 1}]}\n").notes,
              IsEmpty());
}

// As API servers write them: kubectl get --raw, or the body of a list.
TEST(ManifestTest, ItemsOfAListMayLeaveTheirKindToIt) {
  const ManifestResult result = Inject(
      R"({"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"p","namespace":"n"},)"
      R"("spec":{"containers":[{"name":"a","image":"b"}]}}]})");
  EXPECT_THAT(result.notes, ElementsAre("Pod n/p: injected"));
  EXPECT_THAT(UninjectManifest(result.text)->notes, ElementsAre("Pod n/p: sidecar taken out"));
  EXPECT_THAT(Inject(R"({"kind":"DeploymentList","apiVersion":"apps/v1","items":[{"metadata":
      {"name":"d"},"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}]})")
                  .notes,
              ElementsAre("Deployment d: injected"));
}

// The API server makes its selector of the template's labels, and takes no template without them
// from then on: neither what was there before nor one of another revision.
TEST(ManifestTest, ATemplateWhoseLabelsAreTheSelectorKeepsThem) {
  for (const char* type : {"apiVersion: v1\nkind: ReplicationController\n",
                           "apiVersion: extensions/v1beta1\nkind: Deployment\n"}) {
    for (const char* selector : {"", "  selector: {}\n", "  selector:\n    app: old\n"}) {
      const std::string text =
          absl::StrCat(type, "metadata:\n  name: old\nspec:\n", selector,
                       "  template:\n    metadata:\n      labels:\n        app: old\n    spec:\n",
                       "      containers:\n        - name: a\n          image: b\n");
      const ManifestResult result = Inject(text);
      EXPECT_THAT(result.notes, ElementsAre(HasSubstr(" old: injected")));
      EXPECT_EQ(absl::StrContains(result.text, "byrnie.io/rev"), absl::StrContains(selector, "app"))
          << result.text;
      const ManifestResult again = Inject(result.text);
      EXPECT_THAT(again.notes, ElementsAre(HasSubstr("unchanged")));
      EXPECT_EQ(again.text, result.text);
      EXPECT_EQ(UninjectManifest(result.text)->text, text);
    }
  }
}

TEST(ManifestTest, UninjectSaysWhatItCannotTakeOut) {
  InjectorConfig config;
  config.defaults["probes"] = "rewrite";
  const std::string probed = absl::StrCat(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - name: a\n",
      "      livenessProbe: {tcpSocket: {port: 80}}\n");
  std::string text = InjectManifest(config, probed)->text;
  EXPECT_EQ(UninjectManifest(text)->notes, std::vector<std::string>{"Pod p: sidecar taken out"});
  const size_t status = text.find("byrnie.io/status");
  ASSERT_NE(status, std::string::npos);
  text.replace(status, 16, "other.example/x");
  EXPECT_THAT(UninjectManifest(text),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("Pod p: container a: its livenessProbe asks the proxy"),
                             HasSubstr("byrnie.io/status"))));
}

TEST(ManifestTest, AnotherRevisionIsAnUpdate) {
  InjectorConfig next;
  next.revision = "0-2";
  ASSERT_OK_AND_ASSIGN(const ManifestResult result, InjectManifest(next, Inject(kPod).text));
  EXPECT_THAT(result.notes, ElementsAre("Pod app: sidecar updated"));
  EXPECT_FALSE(result.refused);
  EXPECT_EQ(result.text, InjectManifest(next, kPod)->text);
  EXPECT_EQ(UninjectManifest(result.text)->text, kPod);
}

TEST(ManifestTest, ANewImageIsAnUpdate) {
  InjectorConfig next;
  next.image = "byrnie:0.2.0";
  ASSERT_OK_AND_ASSIGN(const ManifestResult result, InjectManifest(next, Inject(kPod).text));
  EXPECT_THAT(result.notes, ElementsAre("Pod app: sidecar updated"));
  EXPECT_THAT(result.text, AllOf(HasSubstr("byrnie:0.2.0"), Not(HasSubstr("byrnie:0.1.0"))));
  EXPECT_EQ(UninjectManifest(result.text)->text, kPod);
}

TEST(ManifestTest, ManyDocumentsAreReadInTime) {
  std::string text;
  for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "---\n", kPod);
  EXPECT_THAT(Inject(text).notes, SizeIs(200));
}

TEST(ManifestTest, SaysThatPullSecretsOfTheServiceAccountAreNotAddedAnyMore) {
  constexpr char kBare[] = "kind: Pod\napiVersion: v1\nspec:\n  containers:\n    - name: app\n";
  InjectorConfig config;
  config.image_pull_secrets = {"mesh"};
  ASSERT_OK_AND_ASSIGN(ManifestResult result, InjectManifest(config, kBare));
  EXPECT_THAT(result.notes, Contains(HasSubstr("those of its service account")));
  EXPECT_THAT(result.text, HasSubstr("imagePullSecrets:\n"));
  ASSERT_OK_AND_ASSIGN(const ManifestResult back, UninjectManifest(result.text));
  EXPECT_EQ(back.text, kBare);
  ASSERT_OK_AND_ASSIGN(
      result,
      InjectManifest(config, absl::StrCat(kBare, "  imagePullSecrets:\n    - name: own\n")));
  EXPECT_THAT(result.notes, Not(Contains(HasSubstr("service account"))));
}

TEST(ManifestTest, WarnsOfWhatIsWrittenOnTheWorkloadItself) {
  constexpr char kDeployment[] =
      "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n"
      "  annotations: {byrnie.io/mtls-mode: permissive, other: x}\n"
      "  labels: {byrnie.io/inject: 'false'}\n"
      "spec:\n  template:\n    spec:\n      containers:\n        - name: app\n";
  const ManifestResult result = Inject(kDeployment);
  EXPECT_THAT(result.notes,
              Contains("Deployment web: warning: byrnie.io/mtls-mode of its own metadata means "
                       "nothing: it is for the metadata of the pod template"));
  EXPECT_THAT(result.notes, Contains(HasSubstr("byrnie.io/inject of its own")));
  EXPECT_THAT(result.notes, Not(Contains(HasSubstr("other of"))));
  // A Pod's own is the place.
  EXPECT_THAT(Inject("apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n"
                     "  annotations: {byrnie.io/mtls-mode: permissive}\n"
                     "spec:\n  containers:\n    - name: app\n")
                  .notes,
              Not(Contains(HasSubstr("means nothing"))));
}

// As jq writes the items of a list, and what else needs no line between two documents.
TEST(ManifestTest, DocumentsMayFollowEachOtherWithNothingBetween) {
  const std::string pod =
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"app"}]}})";
  const std::string block =
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: b\nspec:\n  containers:\n  - name: app\n";
  const std::string map = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}})";
  std::string many;
  for (int i = 1; i <= 5; ++i) {
    absl::StrAppend(&many, pod, "\n");
    for (const std::string& text :
         {many, absl::StrReplaceAll(many, {{",", ",\n  "}}), "---\n" + many + "\n" + block,
          many + map + "\n", map + "\n" + many, absl::StrReplaceAll(many, {{"\n", ""}}),
          absl::StrReplaceAll(many, {{"\n", " "}})}) {
      const absl::StatusOr<ManifestResult> result = InjectManifest(InjectorConfig(), text);
      // What is no YAML is refused.
      if (!result.ok()) {
        EXPECT_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument));
        EXPECT_THAT(text, Not(HasSubstr("}\n"))) << result.status();
        continue;
      }
      size_t injected = 0;
      for (const std::string& note : result->notes) {
        injected += absl::StrContains(note, ": injected") ? 1 : 0;
      }
      EXPECT_EQ(injected, i + (absl::StrContains(text, "name: b") ? 1 : 0)) << text;
      ASSERT_OK_AND_ASSIGN(const ManifestResult again,
                           InjectManifest(InjectorConfig(), result->text));
      EXPECT_EQ(again.text, result->text);
    }
  }
}

}  // namespace
}  // namespace byrnie
