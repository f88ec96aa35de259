#ifndef BYRNIE_CTL_INSTALL_TESTING_INSTALL_CASE_H_
#define BYRNIE_CTL_INSTALL_TESTING_INSTALL_CASE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/installer.h"
#include "ctl/install/manifests.h"
#include "ctl/install/testing/fake_cluster.h"
#include "ctl/install/uninstaller.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {

// Installs into a cluster in memory and takes away again, as byrniectl does, and has what was told.
class InstallCase : public ::testing::Test {
 protected:
  static constexpr char kSystem[] = "byrnie-system";
  static constexpr char kSet[] =
      "/apis/apps/v1/namespaces/byrnie-system/statefulsets/byrnie-controlplane";
  static constexpr char kKey[] = "/api/v1/namespaces/byrnie-system/secrets/byrnie-store-key";
  static constexpr char kInjector[] = "/api/v1/namespaces/byrnie-system/configmaps/byrnie-injector";
  static constexpr char kNamespace[] = "/api/v1/namespaces/byrnie-system";
  static constexpr char kWebhook[] =
      "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/byrnie-injector";

  static std::vector<Json> Objects(const InstallSettings& settings,
                                   const std::string& overlay = "sqlite") {
    std::vector<Json> objects = *RenderOverlay(ReadEmbeddedManifest, overlay);
    EXPECT_THAT(ApplyInstallSettings(settings, &objects), IsOk());
    return objects;
  }
  static std::vector<Json> Known() {
    std::vector<Json> known = *RenderOverlay(ReadEmbeddedManifest, "sqlite");
    const std::vector<Json> more = *RenderOverlay(ReadEmbeddedManifest, "etcd");
    known.insert(known.end(), more.begin(), more.end());
    return known;
  }
  OnInstallStep Tell() {
    return [this](const InstallStep& step) {
      said_.push_back(
          absl::StrCat(OutcomeName(step.outcome, false), " ", step.kind, " ", step.name));
      details_.insert(details_.end(), step.details.begin(), step.details.end());
    };
  }
  absl::Status Install(const InstallSettings& settings = {}, InstallOptions options = {},
                       const std::string& overlay = "sqlite") {
    said_.clear();
    details_.clear();
    cluster_.calls.clear();
    ResourceTypes types(&cluster_);
    Installer installer(&cluster_, &types, options, Tell());
    std::vector<Json> objects = Objects(settings, overlay);
    if (!more_.empty()) objects.push_back(*ParseJson(more_, more_.size()));
    absl::Status status = installer.Run(settings.ns, std::move(objects), Known());
    of_sidecars_ = SidecarsImage();
    if (status.ok()) status = installer.Finish();
    if (status.ok() && new_pod_seen_) status = installer.ForgetPreviousImage();
    previous_image_ = installer.previous_image();
    changed_ = installer.changed();
    return status;
  }
  // Beside the injector's configuration that is there.
  std::string PreviousImage() const {
    return TextOf(*Find(cluster_.objects.at(kInjector), "data"), kPreviousImageKey);
  }
  // Of the injector's configuration that is there; "" where there is none.
  std::string SidecarsImage() const {
    const auto found = cluster_.objects.find(kInjector);
    if (found == cluster_.objects.end()) return "";
    const std::string text = TextOf(*Find(found->second, "data"), kInjectorKey);
    const absl::StatusOr<Json> config = ParseJson(text, text.size());
    return config.ok() ? TextOf(*config, "image") : "";
  }
  absl::Status Uninstall(UninstallOptions options = {}) {
    said_.clear();
    details_.clear();
    cluster_.calls.clear();
    std::vector<Json> known = Known();
    Json secret = Json::object();
    secret["apiVersion"] = "v1";
    secret["kind"] = "Secret";
    known.push_back(secret);
    ResourceTypes types(&cluster_);
    Uninstaller uninstaller(&cluster_, &types, options, Tell());
    const absl::Status status = uninstaller.Run(known);
    found_ = uninstaller.found();
    return status;
  }
  void PutPod(const std::string& ns, const std::string& name) {
    Json pod = Json::object();
    pod["metadata"]["namespace"] = ns;
    pod["metadata"]["name"] = name;
    pod["metadata"]["labels"]["byrnie.io/rev"] = "default";
    cluster_.objects[absl::StrCat("/api/v1/namespaces/", ns, "/pods/", name)] = pod;
  }
  // Where in what was asked a call begins like that; -1: it was not.
  int CallAt(absl::string_view begin) const {
    const auto found = absl::c_find_if(
        cluster_.calls, [&](const std::string& call) { return absl::StartsWith(call, begin); });
    return found == cluster_.calls.end() ? -1 : static_cast<int>(found - cluster_.calls.begin());
  }

  FakeCluster cluster_;
  std::vector<std::string> said_, details_;
  // An object beside those of the manifests.
  std::string more_;
  // When all but what Finish() does was done.
  std::string of_sidecars_;
  // After it.
  std::string previous_image_;
  bool changed_ = false, found_ = false;
  // After an installation.
  bool new_pod_seen_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_TESTING_INSTALL_CASE_H_
