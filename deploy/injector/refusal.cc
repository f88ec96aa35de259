#include "deploy/injector/refusal.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "deploy/injector/annotations.h"

namespace byrnie {
namespace {

constexpr int kSidecarPorts[] = {15000, 15001, 15006, 15008, 15010, 15020, 15021, 15022};

// Of the label or of the annotation; the one that says no wins.
absl::StatusOr<bool> OptedOut(const Json& pod) {
  bool opted_out = false;
  for (const char* const kind : {"labels", "annotations"}) {
    const Json* const said = FindPath(pod, {"metadata", kind, kInjectAnnotation});
    if (said == nullptr) continue;
    if (*said != "true" && *said != "false") {
      return absl::InvalidArgumentError(absl::StrCat("annotation ", kInjectAnnotation, "=",
                                                     ToText(*said),
                                                     ": write \"true\" or \"false\", in quotes"));
    }
    opted_out = opted_out || *said == "false";
  }
  return opted_out;
}

bool IsUser(const Json& object, int uid) {
  const Json* const user = FindPath(object, {"securityContext", "runAsUser"});
  return user != nullptr && user->is_number_integer() && *user == uid;
}

bool SaysUser(const Json& container) {
  return FindPath(container, {"securityContext", "runAsUser"}) != nullptr;
}

std::string OtherMesh(const Json& pod) {
  const std::pair<const char*, const char*> kMarks[] = {{"sidecar.istio.io/status", "Istio"},
                                                        {"linkerd.io/proxy-version", "Linkerd"}};
  for (const auto& [annotation, mesh] : kMarks) {
    if (FindPath(pod, {"metadata", "annotations", annotation}) != nullptr) return mesh;
  }
  const std::pair<absl::string_view, const char*> kContainers[] = {
      {"istio-proxy", "Istio"},      {"istio-init", "Istio"},
      {"istio-validation", "Istio"}, {"linkerd-proxy", "Linkerd"},
      {"linkerd-init", "Linkerd"},   {"linkerd-network-validator", "Linkerd"}};
  for (const char* const list : {"initContainers", "containers"}) {
    const Json* const spec = Find(pod, "spec");
    if (spec == nullptr) continue;
    for (const Json& container : ItemsOf(*spec, list)) {
      const std::string name = TextOf(container, "name");
      for (const auto& [known, mesh] : kContainers) {
        if (name == known) return mesh;
      }
    }
  }
  return "";
}

// Why one of the application's containers cannot be beside the sidecar; "" for no reason.
std::string Conflict(const Json& spec, const Json& container, const std::set<std::string>& ours) {
  const std::string name = Shortened(TextOf(container, "name"));
  if (ours.count(name) > 0) {
    return absl::StrCat("its container ", name, " has the name of one of Byrnie's: rename it");
  }
  if (IsUser(container, kSidecarUid) || (!SaysUser(container) && IsUser(spec, kSidecarUid))) {
    return absl::StrCat("container ", name, " runs as user ", kSidecarUid,
                        ", whose traffic is not redirected: run it as another user");
  }
  for (const Json& port : ItemsOf(container, "ports")) {
    const std::string protocol = TextOf(port, "protocol");
    if (!protocol.empty() && protocol != "TCP") continue;
    const Json* const number = Find(port, "containerPort");
    if (number == nullptr || !number->is_number_integer()) continue;
    if (std::find(std::begin(kSidecarPorts), std::end(kSidecarPorts), *number) !=
        std::end(kSidecarPorts)) {
      return absl::StrCat("container ", name, " has port ", ToText(*number),
                          ", which is the sidecar's: give it another one");
    }
  }
  return "";
}

std::string CannotBeMeshed(const Json& spec, const std::set<std::string>& ours) {
  if (IsTrue(spec, "hostNetwork")) {
    return "it has hostNetwork: the node's traffic cannot be redirected for one pod";
  }
  const Json* const os = FindPath(spec, {"nodeSelector", "kubernetes.io/os"});
  const Json* const named = FindPath(spec, {"os", "name"});
  if ((os != nullptr && *os == "windows") || (named != nullptr && *named == "windows")) {
    return "it runs on Windows";
  }
  if (ItemsOf(spec, "containers").empty()) return "it has no containers";
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      std::string conflict = Conflict(spec, container, ours);
      if (!conflict.empty()) return conflict;
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<Refusal> JudgePod(const Json& pod, const std::set<std::string>& ours) {
  ASSIGN_OR_RETURN(const bool opted_out, OptedOut(pod));
  if (opted_out) {
    return Refusal{Refusal::Kind::kOptedOut, absl::StrCat(kInjectAnnotation, " is \"false\"")};
  }
  const std::string mesh = OtherMesh(pod);
  if (!mesh.empty()) {
    return Refusal{Refusal::Kind::kCannot,
                   absl::StrCat("it has a sidecar of ", mesh, ": take that out first")};
  }
  const Json* const spec = Find(pod, "spec");
  std::string why =
      spec == nullptr || !spec->is_object() ? "it has no spec" : CannotBeMeshed(*spec, ours);
  if (!why.empty()) return Refusal{Refusal::Kind::kCannot, std::move(why)};
  return Refusal();
}

}  // namespace byrnie
