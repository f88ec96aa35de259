#include "ctl/install/kubernetes_version.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ctl/install/cluster_api.h"

namespace byrnie {
namespace {

// Pods of such a node are run elsewhere, and the version is the program's own.
// https://github.com/virtual-kubelet/virtual-kubelet
bool IsVirtual(const Json& node, absl::string_view kubelet) {
  const Json* const type = FindPath(node, {"metadata", "labels", "type"});
  return absl::StrContains(kubelet, "-vk-") || (type != nullptr && *type == "virtual-kubelet");
}

}  // namespace

std::vector<int> VersionNumbers(absl::string_view text) {
  std::vector<int> numbers;
  if (!text.empty() && text.front() == 'v') text.remove_prefix(1);
  for (const absl::string_view part : absl::StrSplit(text, '.')) {
    size_t digits = 0;
    while (digits < part.size() && absl::ascii_isdigit(static_cast<unsigned char>(part[digits]))) {
      ++digits;
    }
    int number = 0;
    if (digits == 0 || !absl::SimpleAtoi(part.substr(0, digits), &number)) break;
    numbers.push_back(number);
    if (digits < part.size()) break;
  }
  return numbers;
}

absl::StatusOr<int> MinorVersion(const Json& version) {
  const std::vector<int> major = VersionNumbers(TextOf(version, "major")),
                         minor = VersionNumbers(TextOf(version, "minor"));
  if (major == std::vector<int>{1} && minor.size() == 1) return minor.front();
  return absl::InvalidArgumentError(
      absl::StrCat("the server's version is not understood: ", TextOf(version, "gitVersion")));
}

bool IsWindows(const Json& node_info) { return TextOf(node_info, "operatingSystem") == "windows"; }

bool KnowsNativeSidecars(const Json& node) {
  const Json* const info = FindPath(node, {"status", "nodeInfo"});
  const std::string kubelet = info == nullptr ? "" : TextOf(*info, "kubeletVersion");
  const std::vector<int> version = VersionNumbers(kubelet);
  return version.size() < 2 || IsVirtual(node, kubelet) ||
         version >= std::vector<int>{1, kNativeSidecarsMinor};
}

absl::optional<NodesKubelet> FindOldestKubelet(const std::vector<Json>& nodes) {
  absl::optional<NodesKubelet> oldest;
  for (const Json& node : nodes) {
    const Json* const info = FindPath(node, {"status", "nodeInfo"});
    if (info == nullptr || IsWindows(*info) || KnowsNativeSidecars(node)) continue;
    const std::string version = TextOf(*info, "kubeletVersion");
    if (oldest.has_value() && VersionNumbers(oldest->version) <= VersionNumbers(version)) continue;
    oldest = NodesKubelet{ObjectNameOf(node), version};
  }
  return oldest;
}

std::string ChooseSidecars(int server_minor, const absl::StatusOr<std::vector<Json>>& nodes,
                           const std::string& installed, InstallSettings* settings) {
  if (!settings->sidecars.empty() || !SidecarsIn(settings->injector_config).empty()) return "";
  if (server_minor < kNativeSidecarsMinor || installed == "classic") {
    settings->sidecars = "classic";
    return "";
  }
  if (!nodes.ok()) {
    return absl::StrCat("native sidecars, by the API server's version alone: the nodes could not ",
                        "be looked at: ", nodes.status().message());
  }
  const absl::optional<NodesKubelet> oldest = FindOldestKubelet(*nodes);
  if (!oldest.has_value()) return "";
  const std::string node = absl::StrCat("the kubelet of ", oldest->node, " is ", oldest->version,
                                        ", and native ones need 1.", kNativeSidecarsMinor);
  if (!installed.empty()) {
    return absl::StrCat("what is installed makes native sidecars, with which no meshed pod starts ",
                        "there: ", node, ". --sidecars=classic is for both");
  }
  settings->sidecars = "classic";
  return absl::StrCat("classic sidecars: ", node,
                      ". Once all nodes are newer, --sidecars=native has the others");
}

}  // namespace byrnie
