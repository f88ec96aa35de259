#include "deploy/injector/pod_injection.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/probe/app_probes.h"
#include "deploy/injector/annotations.h"
#include "deploy/injector/finish.h"
#include "deploy/injector/lists_of_others.h"
#include "deploy/injector/pod_dns.h"
#include "deploy/injector/probe_rewrite.h"
#include "deploy/injector/pull_secrets.h"
#include "deploy/injector/refusal.h"
#include "deploy/injector/sidecar_containers.h"
#include "deploy/injector/sidecar_merge.h"

namespace byrnie {
namespace {

// With the probes that were rewritten.
constexpr size_t kMaxStatus = 128 * 1024;
// What kubectl logs and exec mean without -c.
constexpr char kDefaultContainer[] = "kubectl.kubernetes.io/default-container";

// The value of byrnie.io/status; null where there is none.
Json StatusOf(const Json& pod) {
  const Json* const text = FindPath(pod, {"metadata", "annotations", kStatusAnnotation});
  if (text == nullptr) return Json(nullptr);
  if (text->is_string()) {
    absl::StatusOr<Json> status = ParseJson(text->get_ref<const std::string&>(), kMaxStatus);
    if (status.ok() && status->is_object()) return *std::move(status);
  }
  return Json::object();
}

absl::Status CheckShape(const Json& pod) {
  for (const char* const name : {"metadata", "spec"}) {
    const Json* const found = Find(pod, name);
    if (found != nullptr && !found->is_object() && !found->is_null()) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is no object"));
    }
  }
  for (const char* const name : {"labels", "annotations"}) {
    const Json* const found = FindPath(pod, {"metadata", name});
    if (found != nullptr && !found->is_object() && !found->is_null()) {
      return absl::InvalidArgumentError(absl::StrCat("metadata.", name, " is no object"));
    }
  }
  for (const absl::string_view name :
       {absl::string_view("initContainers"), absl::string_view("containers"),
        absl::string_view("volumes"), kPullSecrets}) {
    const Json* const found = FindPath(pod, {"spec", name});
    if (found != nullptr && !found->is_array() && !found->is_null()) {
      return absl::InvalidArgumentError(absl::StrCat("spec.", name, " is no list"));
    }
  }
  return absl::OkStatus();
}

void InsertFirst(std::vector<Json> items, Json* list) {
  auto& array = list->get_ref<Json::array_t&>();
  array.insert(array.begin(), std::make_move_iterator(items.begin()),
               std::make_move_iterator(items.end()));
}

// Takes items out of spec's list, and the list where nothing is left.
void RemoveItems(absl::string_view list_name, absl::FunctionRef<bool(const Json& item)> is_ours,
                 Json* spec) {
  Json* const list = Find(spec, list_name);
  if (list == nullptr || !list->is_array()) return;
  auto& items = list->get_ref<Json::array_t&>();
  const auto kept = std::remove_if(items.begin(), items.end(), is_ours);
  if (kept == items.end()) return;
  items.erase(kept, items.end());
  if (items.empty()) Remove(spec, list_name);
}

// Takes a member out of a map of metadata, and the map where nothing is left.
void RemoveMark(absl::string_view map_name, absl::string_view mark, Json* metadata) {
  Json* const map = Find(metadata, map_name);
  if (map == nullptr || Find(*map, mark) == nullptr) return;
  Remove(map, mark);
  if (map->empty()) Remove(metadata, map_name);
}

// Where the sidecar adds to what may be there without anything in it, as `annotations: {}`.
constexpr struct {
  absl::string_view of, name;  // Of the pod itself where `of` is empty.
} kMayBeEmpty[] = {{"", "metadata"},           {"metadata", "labels"}, {"metadata", "annotations"},
                   {"spec", "initContainers"}, {"spec", "volumes"},    {"spec", kPullSecrets}};

Json EmptyIn(const Json& pod) {
  Json found = Json::object();
  for (const auto& [of, name] : kMayBeEmpty) {
    const Json* const value = of.empty() ? Find(pod, name) : FindPath(pod, {of, name});
    if (value != nullptr && value->empty()) found[std::string(name)] = *value;
  }
  return found;
}

// What was there without anything in it is so again, unless somebody has put something in.
void RestoreEmpty(const Json& empty, Json* pod) {
  for (const auto& [of, name] : kMayBeEmpty) {
    const Json* const value = Find(empty, name);
    if (value == nullptr || !value->empty()) continue;
    // It is gone where it had nothing but this.
    if (of == "metadata" && Find(*pod, of) == nullptr) (void)ObjectIn(pod, of);
    Json* const parent = of.empty() ? pod : Find(pod, of);
    if (parent == nullptr || !parent->is_object()) continue;
    if (Find(*parent, name) == nullptr) (*parent)[std::string(name)] = *value;
  }
}

// Takes back what the pod's `status` says was done to it beside our own containers and volumes.
void TakeBack(const Json& status, Json* pod) {
  Json* const metadata = Find(pod, "metadata");
  if (metadata != nullptr && metadata->is_object()) {
    RemoveMark("annotations", kStatusAnnotation, metadata);
    RemoveFromLists(status, metadata);
    if (IsTrue(status, "default_container")) RemoveMark("annotations", kDefaultContainer, metadata);
    RemoveMark("labels", kRevisionLabel, metadata);
    if (metadata->empty()) Remove(pod, "metadata");
  }
  Json* const spec = Find(pod, "spec");
  if (spec == nullptr || !spec->is_object()) return;
  RemoveFinish(spec);
  const Json* const probes = Find(status, "probes");
  if (probes != nullptr) RestoreProbes(*probes, spec);
  const Json* const pull_secrets = Find(status, "pull_secrets");
  if (pull_secrets != nullptr) RemovePullSecrets(*pull_secrets, spec);
}

// What API servers before 1.27 say of each container's seccompProfile, and those of 1.30 to 1.32 of
// its appArmorProfile. They refuse the latter for a container that is not there.
void RemoveServersAnnotations(Json* pod) {
  Json* const metadata = Find(pod, "metadata");
  if (metadata == nullptr || !metadata->is_object()) return;
  for (const std::string& name : SidecarNames()) {
    for (const char* const prefix : {"container.seccomp.security.alpha.kubernetes.io/",
                                     "container.apparmor.security.beta.kubernetes.io/"}) {
      RemoveMark("annotations", absl::StrCat(prefix, name), metadata);
    }
  }
}

void AddNative(SidecarContainers sidecar, Json* spec) {
  std::vector<Json> containers = {std::move(sidecar.agent), std::move(sidecar.proxy),
                                  std::move(sidecar.redirect)};
  if (!sidecar.watch.is_null()) containers.push_back(std::move(sidecar.watch));
  InsertFirst(std::move(containers), ArrayIn(spec, "initContainers"));
}

void AddClassic(SidecarContainers sidecar, PodOutcome* outcome, Json* spec) {
  Json* const init = ArrayIn(spec, "initContainers");
  if (!init->empty()) {
    outcome->warnings.push_back(
        "its init containers run before the sidecar, and connect without it");
  }
  if (!sidecar.finish.is_null()) init->push_back(std::move(sidecar.finish));
  // Last: nothing that comes after it would have a network without the proxy.
  init->push_back(std::move(sidecar.redirect));
  InsertFirst({std::move(sidecar.agent), std::move(sidecar.proxy)}, ArrayIn(spec, "containers"));
}

std::string FirstContainer(const Json& spec) {
  const Json::array_t& containers = ItemsOf(spec, "containers");
  return containers.empty() ? "" : TextOf(containers.front(), "name");
}

// The marks on the pod: whose sidecar it is, of which kind, made of what, and what else is to be
// taken out.
void AddMarks(const InjectorConfig& config, const SidecarContainers& sidecar,
              const std::string& default_container, const Json& probes, const Json& pull_secrets,
              const Json& empty, Json* pod) {
  Json* const metadata = ObjectIn(pod, "metadata");
  Json status = Json::object();
  status["revision"] = config.revision;
  status["sidecars"] = sidecar.native ? "native" : "classic";
  status["made_of"] = sidecar.digest;
  Json* const annotations = ObjectIn(metadata, "annotations");
  if (!sidecar.native && Find(*annotations, kDefaultContainer) == nullptr &&
      !default_container.empty()) {
    (*annotations)[kDefaultContainer] = default_container;
    status["default_container"] = true;
  }
  if (!probes.empty()) status["probes"] = probes;
  if (!pull_secrets.empty()) status["pull_secrets"] = pull_secrets;
  if (!empty.empty()) status["empty"] = empty;
  status["lists"] = AddToLists(sidecar, annotations);
  (*annotations)[std::string(kStatusAnnotation)] = ToText(status);
  (*ObjectIn(metadata, "labels"))[std::string(kRevisionLabel)] = config.revision;
}

// Calls `visit` for each container of the pod, until it says true; whether it did.
bool AnyContainer(const Json& pod, absl::FunctionRef<bool(const Json& container)> visit) {
  const Json* const spec = Find(pod, "spec");
  if (spec == nullptr) return false;
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(*spec, list)) {
      if (visit(container)) return true;
    }
  }
  return false;
}

// Whether it is one of the sidecar's, whatever the pod's annotations say: it has the name, and runs
// what we have it run.
bool IsOfTheSidecar(const Json& container) {
  const Json::array_t& command = ItemsOf(container, "command");
  return SidecarNames().count(TextOf(container, "name")) > 0 && !command.empty() &&
         command.front().is_string() &&
         absl::StartsWith(command.front().get_ref<const std::string&>(),
                          absl::StrCat(kBinaryDirectory, "/byrnie-"));
}

// Whether the pod has the sidecar, or what somebody has left of it: the annotation is also copied
// from one pod to another, and tools that know better take annotations or containers away.
bool HasSidecar(const Json& pod) {
  const bool marked = !StatusOf(pod).is_null();
  return AnyContainer(pod, [marked](const Json& container) {
    return (marked && TextOf(container, "name") == kProxyName) || IsOfTheSidecar(container);
  });
}

// A sidecar whose pod has no annotation that says what was done to it can be taken out, but not
// what it was made of.
bool IsUnmarked(const Json& pod) { return StatusOf(pod).is_null() && HasSidecar(pod); }

// An annotation of the pod that only the mesh's configuration may say; "" for none. "inject" is one
// where it opts the pod out.
std::string LockedAnnotation(const InjectorConfig& config, const Json& pod) {
  for (const std::string& name : config.locked_annotations) {
    const std::string full = absl::StrCat(kAnnotationPrefix, name);
    const Json* const said = FindPath(pod, {"metadata", "annotations", full});
    if (said != nullptr && !(full == kInjectAnnotation && *said == "true")) return full;
  }
  return "";
}

// As UninjectPod, but for what the API server has said of it.
bool TakeOutSidecar(Json* pod) {
  const Json status = StatusOf(*pod);
  if (status.is_null() && !HasSidecar(*pod)) return false;
  if (!CannotUninject(*pod).empty()) return false;
  TakeBack(status, pod);
  Json* const spec = Find(pod, "spec");
  if (spec != nullptr && spec->is_object()) {
    const std::set<std::string> names = SidecarNames(), volumes = SidecarVolumes();
    const auto is_ours = [&](const Json& container) {
      return status.is_null() ? IsOfTheSidecar(container)
                              : names.count(TextOf(container, "name")) > 0;
    };
    RemoveItems("initContainers", is_ours, spec);
    RemoveItems("containers", is_ours, spec);
    RemoveItems(
        "volumes",
        [&volumes](const Json& volume) { return volumes.count(TextOf(volume, "name")) > 0; }, spec);
  }
  const Json* const empty = Find(status, "empty");
  if (empty != nullptr) RestoreEmpty(*empty, pod);
  return true;
}

// Of a pod that is to have no sidecar. One that it has would meet what it cannot work beside, or be
// what somebody has said no to.
PodOutcome NotMeshed(PodOutcome::Kind kind, std::string why, Json* pod) {
  PodOutcome outcome;
  outcome.kind = kind;
  outcome.why = std::move(why);
  outcome.taken_out = HasSidecar(*pod) && UninjectPod(pod);
  return outcome;
}

}  // namespace

absl::StatusOr<PodOutcome> InjectPod(const InjectorConfig& config, Json* pod, bool label_it) {
  RETURN_IF_ERROR(CheckShape(*pod));
  // Before anything looks into them.
  const Json* const said = FindPath(*pod, {"metadata", "annotations"});
  if (said != nullptr) RETURN_IF_ERROR(CheckAnnotationsSize(*said));
  const Json status = StatusOf(*pod);
  const bool was_there = HasSidecar(*pod), unmarked = IsUnmarked(*pod);
  const std::string lost = CannotUninject(*pod);
  if (!lost.empty()) return absl::InvalidArgumentError(lost);
  Json made = *pod;
  if (was_there) {
    TakeOutSidecar(&made);
  } else if (!status.is_null()) {
    // Left over from a pod that this one was copied from.
    TakeBack(status, &made);
  }
  const std::string locked = LockedAnnotation(config, made);
  if (!locked.empty()) {
    return NotMeshed(
        PodOutcome::Kind::kRefused,
        absl::StrCat("its annotation ", locked,
                     " is one of the injector's locked_annotations, which pods may not set: take "
                     "it out, or have the mesh's administrator unlock it"),
        pod);
  }
  ASSIGN_OR_RETURN(Refusal refusal, JudgePod(made, SidecarNames(), SidecarVolumes()));
  if (refusal.kind != Refusal::Kind::kNone) {
    return NotMeshed(refusal.kind == Refusal::Kind::kOptedOut ? PodOutcome::Kind::kOptedOut
                                                              : PodOutcome::Kind::kRefused,
                     std::move(refusal.why), pod);
  }
  const Json* const annotations = FindPath(made, {"metadata", "annotations"});
  ASSIGN_OR_RETURN(
      PodSettings settings,
      PodSettings::Create(annotations == nullptr ? Json::object() : *annotations, config.defaults));
  const Json empty = EmptyIn(made);
  // Before there is a pointer into it: adding a member moves the others.
  (void)ObjectIn(&made, "metadata");
  Json* const spec = Find(&made, "spec");
  const std::string question = FindQuestion(*spec);
  RewrittenProbes probes;
  if (settings.GetOr("probes", "declare") == "rewrite") {
    probes = RewriteProbes(SidecarNames(), settings.GetOr("sidecars", "native") == "native", spec);
  }
  ASSIGN_OR_RETURN(SidecarContainers sidecar,
                   SidecarContainers::Create(config, std::move(settings), probes.for_proxy, *spec));
  const bool native = sidecar.native;
  if (!sidecar.finish.is_null()) {
    std::string why = CannotFinish(*spec);
    if (!why.empty()) return NotMeshed(PodOutcome::Kind::kRefused, std::move(why), pod);
    AddFinish(&sidecar, spec);
  }
  if (was_there && TextOf(status, "made_of") == sidecar.digest) KeepWhatOthersSay(*pod, &sidecar);
  PodOutcome outcome;
  outcome.warnings = std::move(sidecar.warnings);
  outcome.warnings.insert(outcome.warnings.end(), probes.warnings.begin(), probes.warnings.end());
  if (!question.empty()) {
    outcome.warnings.push_back(absl::StrCat(
        question, " asks the proxy for a probe that it does not know, and fails: write the probe"));
  }
  if (unmarked) {
    outcome.warnings.push_back(
        absl::StrCat("it had a sidecar of Byrnie's without the annotation ", kStatusAnnotation,
                     ", which something has taken away: the sidecar is made anew"));
  }
  const Json* const share = Find(*spec, "shareProcessNamespace");
  if (share != nullptr && *share == true) {
    outcome.warnings.push_back(
        "shareProcessNamespace lets a container that runs as root or may trace processes read the "
        "sidecar's memory, and with it the pod's private key: leave it out where that matters");
  }
  for (std::string& warning : std::vector<std::string>{
           DnsWarning(config, *spec), AsksAnotherMesh(made), HostPortWarning(*spec)}) {
    if (!warning.empty()) outcome.warnings.push_back(std::move(warning));
  }
  const Json pull_secrets = AddPullSecrets(config.image_pull_secrets, spec);
  outcome.first_pull_secrets =
      !pull_secrets.empty() && ItemsOf(*spec, kPullSecrets).size() == pull_secrets.size();
  AddMarks(config, sidecar, FirstContainer(*spec), probes.originals, pull_secrets, empty, &made);
  if (!label_it) RemoveMark("labels", kRevisionLabel, Find(&made, "metadata"));
  if (was_there && said != nullptr) {
    KeepListsAsTheyAre(*said, ObjectIn(Find(&made, "metadata"), "annotations"));
  }
  InsertFirst(std::move(sidecar.volumes), ArrayIn(spec, "volumes"));
  if (native) {
    AddNative(std::move(sidecar), spec);
  } else {
    AddClassic(std::move(sidecar), &outcome, spec);
  }
  if (was_there) {
    outcome.kind = SameJson(made, *pod) ? PodOutcome::Kind::kUnchanged : PodOutcome::Kind::kUpdated;
  }
  if (outcome.kind != PodOutcome::Kind::kUnchanged) *pod = std::move(made);
  return outcome;
}

std::string CannotUninject(const Json& pod) {
  const Json* const spec = Find(pod, "spec");
  if (spec == nullptr || FindQuestion(*spec).empty()) return "";
  const Json status = StatusOf(pod);
  if (status.is_null() && !HasSidecar(pod)) return "";
  Json restored = *spec;
  const Json* const probes = Find(status, "probes");
  if (probes != nullptr) RestoreProbes(*probes, &restored);
  const std::string lost = FindQuestion(restored);
  if (lost.empty()) return "";
  return absl::StrCat(lost, " asks the proxy, and the annotation ", kStatusAnnotation,
                      status.is_null() ? ", which would say what it was, has been taken away"
                                       : " does not say what it was",
                      ": put that annotation back as it was, or write the probe");
}

bool UninjectPod(Json* pod) {
  if (!TakeOutSidecar(pod)) return false;
  RemoveServersAnnotations(pod);
  return true;
}

}  // namespace byrnie
