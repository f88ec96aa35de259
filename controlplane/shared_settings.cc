#include "controlplane/shared_settings.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/crypto/key_type.h"

namespace byrnie {
namespace {

// The order in which they are asked decides nothing.
std::string AttestText(std::vector<AttestorKind> kinds) {
  std::sort(kinds.begin(), kinds.end());
  return absl::StrJoin(kinds, ",", [](std::string* out, AttestorKind kind) {
    absl::StrAppend(out, static_cast<int>(kind));
  });
}

std::string OperatorsText(const OperatorIdentities& operators) {
  return absl::StrJoin(operators, ",", [](std::string* out, const auto& one) {
    absl::StrAppend(out, one.first, "=", static_cast<int>(one.second));
  });
}

// The roots of other trust domains, whatever files they are from.
std::string FederatedText(const std::string& own, const TrustBundleSet* bundles) {
  std::string text;
  if (bundles == nullptr) return text;
  for (const auto& [trust_domain, bundle] : bundles->bundles()) {
    if (trust_domain == own) continue;
    std::set<std::string> roots;
    for (const CertificatePtr& root : bundle.roots) roots.insert(root->FingerprintHex());
    absl::StrAppend(&text, trust_domain, "=", absl::StrJoin(roots, ","), ";");
  }
  return text;
}

// Lists are renewed again and again, each copy at a time of its own: of whom there are any.
std::string ListedText(const std::vector<TrustFiles::File>& files) {
  std::set<std::string> trust_domains;
  for (const TrustFiles::File& file : files) trust_domains.insert(file.trust_domain);
  return absl::StrJoin(trust_domains, ",");
}

}  // namespace

SettingDigests DigestSettings(const ControlPlaneOptions& options, const SettingContents& contents) {
  const Cluster::Options& cluster = options.cluster;
  std::vector<std::string> audiences = cluster.audiences;
  std::sort(audiences.begin(), audiences.end());
  const std::vector<std::pair<const char*, std::string>> settings = {
      {"attest", AttestText(options.attest)},
      {"ca", options.plugged_ca.empty() ? "self_signed" : "plugged"},
      {"cluster_domain", cluster.mesh.cluster_domain},
      {"cluster_id", cluster.mesh.cluster_id},
      {"cluster_network", cluster.mesh.network},
      {"crl", ListedText(options.crls)},
      {"federated_bundle", FederatedText(options.trust_domain, contents.bundles)},
      {"injector_config", contents.injector_config},
      {"issuance_log_age", absl::FormatDuration(options.issuance_log.keep_for)},
      {"issuance_log_size", absl::StrCat(options.issuance_log.keep_most)},
      {"istio_peers", cluster.mesh.istio_peers ? "true" : "false"},
      {"jwt_config", contents.jwt_config},
      {"jwt_key_rotation", absl::FormatDuration(options.jwt_key_rotation)},
      {"jwt_svid_ttl", absl::FormatDuration(options.jwt_svid_ttl)},
      {"key_types", KeyTypesText(options.key_types)},
      {"kubernetes_pod_address", absl::StrCat(static_cast<int>(cluster.pod_address))},
      {"operators", OperatorsText(options.operators)},
      {"root_namespace", cluster.root_namespace},
      {"token_audience", absl::StrJoin(audiences, ",")},
      {"workload_ttl", absl::FormatDuration(options.workload_ttl)},
  };
  SettingDigests digests;
  for (const auto& [flag, value] : settings) digests[flag] = DigestOfSetting(value);
  return digests;
}

}  // namespace byrnie
