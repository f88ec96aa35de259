#include "deploy/injector/finish.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {
namespace {

std::string FileOf(const Json& application) {
  return absl::StrCat(kFinishDirectory, "/", TextOf(application, "name"));
}

// In the applications' images, which do not have it.
std::string Installed() { return absl::StrCat(kFinishDirectory, "/", kFinishName); }

Json VolumeMount() {
  Json mount = Json::object();
  mount["name"] = std::string(kFinishName);
  mount["mountPath"] = std::string(kFinishDirectory);
  return mount;
}

Json Volume() {
  Json volume = Json::object();
  volume["name"] = std::string(kFinishName);
  volume["emptyDir"]["medium"] = "Memory";
  volume["emptyDir"]["sizeLimit"] = "8Mi";
  return volume;
}

// Has a container run its command by `program` with `words`.
void RunBy(const std::vector<std::string>& words, Json* container) {
  auto& command = ArrayIn(container, "command")->get_ref<Json::array_t&>();
  std::vector<Json> before(words.begin(), words.end());
  before.emplace_back("--");
  command.insert(command.begin(), before.begin(), before.end());
  ArrayIn(container, "volumeMounts")->push_back(VolumeMount());
}

void RunByItself(Json* container) {
  Json* const found = Find(container, "command");
  if (found == nullptr || !found->is_array()) return;
  auto& command = found->get_ref<Json::array_t&>();
  if (command.empty() || command.front() != Installed()) return;
  const auto dashes = std::find(command.begin(), command.end(), Json("--"));
  if (dashes == command.end()) return;
  command.erase(command.begin(), dashes + 1);
  Json* const list = Find(container, "volumeMounts");
  if (list == nullptr || !list->is_array()) return;
  auto& mounts = list->get_ref<Json::array_t&>();
  mounts.erase(
      std::remove_if(mounts.begin(), mounts.end(),
                     [](const Json& mount) { return TextOf(mount, "name") == kFinishName; }),
      mounts.end());
  if (mounts.empty()) Remove(container, "volumeMounts");
}

}  // namespace

bool EndsByItself(const Json& spec) {
  const std::string policy = TextOf(spec, "restartPolicy");
  return policy == "Never" || policy == "OnFailure";
}

std::string CannotFinish(const Json& spec) {
  for (const Json& container : ItemsOf(spec, "containers")) {
    if (!ItemsOf(container, "command").empty()) continue;
    return absl::StrCat("it ends by itself, and container ", Shortened(TextOf(container, "name")),
                        " has no command, which classic sidecars need to end with it: write the ",
                        "command, or have native sidecars, from Kubernetes 1.29 on");
  }
  return "";
}

void AddFinish(SidecarContainers* sidecar, Json* spec) {
  std::vector<std::string> ends = {absl::StrCat(kBinaryDirectory, "/", kFinishName), "sidecar"};
  const std::string when = TextOf(*spec, "restartPolicy") == "Never" ? "always" : "success";
  for (Json& container : *ArrayIn(spec, "containers")) {
    ends.push_back(FileOf(container));
    RunBy({Installed(), "app", FileOf(container), when}, &container);
  }
  RunBy(ends, &sidecar->agent);
  RunBy(ends, &sidecar->proxy);
  sidecar->finish["volumeMounts"].push_back(VolumeMount());
  sidecar->volumes.push_back(Volume());
}

void RemoveFinish(Json* spec) {
  Json* const containers = Find(spec, "containers");
  if (containers == nullptr || !containers->is_array()) return;
  for (Json& container : *containers) RunByItself(&container);
}

}  // namespace byrnie
