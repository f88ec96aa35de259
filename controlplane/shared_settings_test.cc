#include "controlplane/shared_settings.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ControlPlaneOptions Options() {
  ControlPlaneOptions options;
  options.trust_domain = "cluster.local";
  options.workload_ttl = absl::Hours(1);
  options.issue_rate = 1000;
  options.name = "a";
  return options;
}

std::vector<std::string> Differ(const ControlPlaneOptions& one, const ControlPlaneOptions& other) {
  return DifferentSettings(DigestSettings(one, {}), DigestSettings(other, {}));
}

TEST(SharedSettingsTest, EachSettingIsNamedByItsFlag) {
  const std::map<std::string, std::function<void(ControlPlaneOptions*)>> changes = {
      {"attest", [](auto* o) { o->attest.push_back(AttestorKind::kJwt); }},
      {"ca", [](auto* o) { o->plugged_ca = "/cacerts"; }},
      {"cluster_domain", [](auto* o) { o->cluster.mesh.cluster_domain = "other"; }},
      {"cluster_id", [](auto* o) { o->cluster.mesh.cluster_id = "other"; }},
      {"cluster_network", [](auto* o) { o->cluster.mesh.network = "other"; }},
      {"crl",
       [](auto* o) {
         o->crls.push_back({"partner.example", "/crl.pem"});
       }},
      {"issuance_log_age", [](auto* o) { o->issuance_log.keep_for = absl::Hours(1); }},
      {"issuance_log_size", [](auto* o) { o->issuance_log.keep_most = 1000; }},
      {"istio_peers", [](auto* o) { o->cluster.mesh.istio_peers = true; }},
      {"jwt_key_rotation", [](auto* o) { o->jwt_key_rotation = absl::Hours(1); }},
      {"jwt_svid_ttl", [](auto* o) { o->jwt_svid_ttl = absl::Minutes(1); }},
      {"key_types", [](auto* o) { o->key_types.insert(KeyType::kRsa); }},
      {"kubernetes_pod_address", [](auto* o) { o->cluster.pod_address = PodAddressRule::kIgnore; }},
      {"operators", [](auto* o) { o->operators["spiffe://cluster.local/o"] = Role::kViewer; }},
      {"root_namespace", [](auto* o) { o->cluster.root_namespace = "other"; }},
      {"token_audience", [](auto* o) { o->cluster.audiences = {"other"}; }},
      {"workload_ttl", [](auto* o) { o->workload_ttl = absl::Hours(2); }},
  };
  for (const auto& [flag, change] : changes) {
    ControlPlaneOptions other = Options();
    change(&other);
    EXPECT_THAT(Differ(Options(), other), ElementsAre(flag));
  }
  // And those that are of files.
  EXPECT_EQ(DigestSettings(Options(), {}).size(), changes.size() + 3);
}

TEST(SharedSettingsTest, WhatIsEachOnesOwnIsNotCompared) {
  ControlPlaneOptions other = Options();
  other.name = "b";
  other.server_names = {"b.example"};
  other.issue_rate = 1;
  other.issuance_spool = "/spool";
  other.jwt_config_path = "/elsewhere";
  EXPECT_THAT(Differ(Options(), other), IsEmpty());
  other.attest = {AttestorKind::kJwt, AttestorKind::kJoinToken};
  ControlPlaneOptions same = Options();
  same.attest = {AttestorKind::kJoinToken, AttestorKind::kJwt};
  EXPECT_THAT(Differ(same, other), IsEmpty());
}

TEST(SharedSettingsTest, WhatFilesSayIsComparedNotWhereTheyAre) {
  const absl::Time now = absl::FromUnixSeconds(1893456000);
  const CertificatePtr own = SelfSigned("cluster.local", now)->signer->root();
  const CertificatePtr partner = SelfSigned("partner.example", now)->signer->root();
  const auto bundles = [](TrustBundleMap map) { return *TrustBundleSet::Create(std::move(map)); };
  const TrustBundleSet alone = bundles({{"cluster.local", {{own}}}});
  const TrustBundleSet federated =
      bundles({{"cluster.local", {{own}}}, {"partner.example", {{partner}}}});
  const auto differ = [](const SettingContents& one, const SettingContents& other) {
    return DifferentSettings(DigestSettings(Options(), one), DigestSettings(Options(), other));
  };
  EXPECT_THAT(differ({"", "", &alone}, {"", "", nullptr}), IsEmpty());
  EXPECT_THAT(differ({"", "", &alone}, {"", "", &federated}), ElementsAre("federated_bundle"));
  EXPECT_THAT(differ({"1", "2", nullptr}, {"3", "4", nullptr}),
              ElementsAre("injector_config", "jwt_config"));
}

}  // namespace
}  // namespace byrnie
