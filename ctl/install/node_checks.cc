#include "ctl/install/node_checks.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/kubernetes_version.h"
#include "ctl/install/preflight_results.h"

namespace byrnie {
namespace {

using Names = std::vector<std::string>;

constexpr int kOldestMinor = 25;

// As install chose them for a server that knew no others.
bool KeepsClassicSidecars(const ClusterFacts& facts) {
  if (!facts.settings.ok()) return false;
  const InstallSettings& settings = facts.settings->settings;
  if (!settings.sidecars.empty()) return false;
  const std::string said = SidecarsIn(settings.injector_config);
  return (said.empty() ? facts.settings->installed_sidecars : said) == "classic";
}

// What install would choose where nobody has said which; see ChooseSidecars().
struct Choice {
  bool classic = false;
  std::string why;
};

Choice ChoiceOf(const ClusterFacts& facts, int server_minor) {
  Choice choice;
  if (!facts.settings.ok()) return choice;
  InstallSettings settings = facts.settings->settings;
  choice.why =
      ChooseSidecars(server_minor, facts.nodes, facts.settings->installed_sidecars, &settings);
  choice.classic = settings.sidecars == "classic";
  return choice;
}

// What keeps meshed pods from running on a node. "" for nothing, each.
struct NodeTrouble {
  std::string name, kernel, kubelet, architecture;

  bool any() const { return !kernel.empty() || !kubelet.empty() || !architecture.empty(); }
};

absl::string_view ImageArchitecture(const ClusterFacts& facts) {
  return facts.settings.ok() ? facts.settings->settings.ImageArchitecture() : OwnArchitecture();
}

// Whether pods get native sidecars, which is the same for all nodes.
bool AreNative(const ClusterFacts& facts) {
  const absl::StatusOr<int> minor =
      facts.version.ok() ? MinorVersion(*facts.version) : facts.version.status();
  return minor.ok() && *minor >= kNativeSidecarsMinor && !KeepsClassicSidecars(facts) &&
         !ChoiceOf(facts, *minor).classic;
}

NodeTrouble TroubleOf(const Json& node, const Json& info, bool native,
                      absl::string_view image_architecture) {
  NodeTrouble trouble;
  trouble.name = ObjectNameOf(node);
  const std::string kernel = TextOf(info, "kernelVersion"),
                    kubelet = TextOf(info, "kubeletVersion"),
                    architecture = TextOf(info, "architecture");
  // The first whose nftables translate addresses in tables of both families.
  if (!kernel.empty() && VersionNumbers(kernel) < std::vector<int>{5, 2}) trouble.kernel = kernel;
  if (native && !KnowsNativeSidecars(node)) trouble.kubelet = kubelet;
  if (!architecture.empty() && architecture != image_architecture) {
    trouble.architecture = architecture;
  }
  return trouble;
}

struct NodeTroubles {
  std::vector<NodeTrouble> of_nodes;
  Names windows;
  int linux = 0;
};

NodeTroubles TroublesOfNodes(const ClusterFacts& facts) {
  NodeTroubles found;
  if (!facts.nodes.ok()) return found;
  const bool native = AreNative(facts);
  const absl::string_view image_architecture = ImageArchitecture(facts);
  for (const Json& node : *facts.nodes) {
    const Json* const info = FindPath(node, {"status", "nodeInfo"});
    if (info == nullptr) continue;
    if (IsWindows(*info)) {
      found.windows.push_back(ObjectNameOf(node));
      continue;
    }
    ++found.linux;
    NodeTrouble trouble = TroubleOf(node, *info, native, image_architecture);
    if (trouble.any()) found.of_nodes.push_back(std::move(trouble));
  }
  return found;
}

}  // namespace

std::vector<std::string> UnfitNodes(const ClusterFacts& facts) {
  Names names;
  for (const NodeTrouble& one : TroublesOfNodes(facts).of_nodes) names.push_back(one.name);
  return names;
}

CheckResult CheckServerVersion(const ClusterFacts& facts) {
  constexpr char kName[] = "server-version";
  if (!facts.version.ok()) return NotAsked(kName, facts.version.status());
  const std::string version = TextOf(*facts.version, "gitVersion");
  const absl::StatusOr<int> minor = MinorVersion(*facts.version);
  if (!minor.ok()) return NoteCheck(kName, std::string(minor.status().message()), "");
  if (*minor < kOldestMinor) {
    return NoteCheck(
        kName, absl::StrCat("Kubernetes ", version, " is older than 1.", kOldestMinor),
        "what is needed of it is there as far as is known, and not tried: use a newer one");
  }
  if (*minor < kNativeSidecarsMinor) {
    return GoodCheck(kName, absl::StrCat("Kubernetes ", version, ": classic sidecars"));
  }
  if (KeepsClassicSidecars(facts)) {
    return NoteCheck(
        kName,
        absl::StrCat("Kubernetes ", version,
                     " knows native sidecars, and what is installed makes classic ones"),
        "byrniectl install --sidecars=native, unless that is meant");
  }
  const Choice choice = ChoiceOf(facts, *minor);
  return GoodCheck(
      kName, absl::StrCat("Kubernetes ", version, choice.classic && !choice.why.empty() ? "; " : "",
                          choice.classic ? choice.why : ""));
}

CheckResult CheckNodes(const ClusterFacts& facts) {
  constexpr char kName[] = "nodes";
  if (!facts.nodes.ok()) return NotAsked(kName, facts.nodes.status());
  const NodeTroubles troubles = TroublesOfNodes(facts);
  std::string message = absl::StrCat(troubles.linux, troubles.linux == 1 ? " node" : " nodes");
  if (troubles.of_nodes.empty() && troubles.windows.empty())
    return GoodCheck(kName, std::move(message));
  if (troubles.of_nodes.empty()) {
    return NoteCheck(
        kName,
        absl::StrCat(message, "; of Windows: ", SomeNames(troubles.windows),
                     ", where no meshed pod starts"),
        "give meshed pods kubernetes.io/os: linux in their nodeSelector where these nodes "
        "have no taint");
  }
  Names kernels, kubelets, architectures, said, remedies;
  for (const NodeTrouble& one : troubles.of_nodes) {
    const auto add = [&one](const std::string& what, Names* to) {
      if (!what.empty()) to->push_back(absl::StrCat(one.name, " (", what, ")"));
    };
    add(one.kernel, &kernels);
    add(one.kubelet, &kubelets);
    add(one.architecture, &architectures);
  }
  if (!kernels.empty()) {
    said.push_back(absl::StrCat("kernels older than 5.2: ", SomeNames(kernels)));
    remedies.emplace_back("update these nodes, or keep meshed pods off them");
  }
  if (!kubelets.empty()) {
    said.push_back(absl::StrCat("kubelets older than 1.29: ", SomeNames(kubelets)));
    remedies.emplace_back(
        "they do not know native sidecars: install with --sidecars=classic until they are updated");
  }
  if (!architectures.empty()) {
    const absl::string_view of_image = ImageArchitecture(facts);
    said.push_back(absl::StrCat("the image is for ", of_image,
                                ", and these are not: ", SomeNames(architectures)));
    remedies.push_back(absl::StrCat(
        "keep meshed pods off by ", kArchitectureLabel, ": ", of_image,
        " in their nodeSelector, or say --architecture where the image is for another one"));
  }
  const std::string all = absl::StrJoin(said, "; "), remedy = absl::StrJoin(remedies, "; ");
  // Where there are others, meshed pods may be kept off these.
  const bool some_fit = static_cast<size_t>(troubles.linux) > troubles.of_nodes.size();
  if (some_fit && facts.meshed_on.ok() && facts.meshed_on->empty()) {
    return NoteCheck(kName,
                     absl::StrCat(all, "; meshed pods do not start there, and none is there now"),
                     remedy);
  }
  const bool known = facts.meshed_on.ok() && !facts.meshed_on->empty();
  return BadCheck(
      kName,
      absl::StrCat(all, "; meshed pods do not start there",
                   known ? absl::StrCat(", and some are on ", SomeNames(*facts.meshed_on)) : ""),
      remedy);
}

}  // namespace byrnie
