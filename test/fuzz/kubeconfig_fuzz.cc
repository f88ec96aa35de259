// What byrniectl reads of a cluster's owner: kubeconfigs, what exec plugins say, and
// kustomizations. Whatever they are, the answer is a server that can be verified and shown
// something, or an error.

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controlplane/kubernetes/api_server.h"
#include "ctl/install/exec_credential.h"
#include "ctl/install/kubeconfig.h"
#include "ctl/install/manifests.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckServer(const ApiServer& server) {
  Check(!server.host.empty() && server.port != 0 && !server.server_name.empty());
  Check(!server.ca_pem.empty() || !server.ca_file.empty() || server.system_roots);
  // What goes into requests ends no line of them.
  std::string written = absl::StrCat(server.path_prefix, server.host);
  for (const auto& [name, value] : server.headers) absl::StrAppend(&written, name, value);
  if (server.proxy.has_value()) {
    Check(!server.proxy->host.empty() && server.proxy->port != 0);
    absl::StrAppend(&written, server.proxy->host);
  }
  Check(written.find_first_of(std::string("\r\n\0", 3)) == std::string::npos);
  Check(server.HasToken() || server.HasClientCertificate() || server.exec.has_value());
  if (server.HasClientCertificate()) {
    Check(!server.client_key_pem.empty() || !server.client_key_file.empty());
  }
  if (server.exec.has_value()) Check(!server.exec->command.empty());
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string begin =
      "current-context: c\ncontexts: [{name: c, context: {cluster: a, user: b}}]\n"
      "clusters: [{name: a, cluster: {server: 'https://h:1', certificate-authority-data: UEVN}}]\n"
      "users:\n- name: b\n  user: ";
  return {begin + "{token: t}\n",
          begin + "{tokenFile: t}\n",
          begin + "{client-certificate-data: UEVN, client-key: k}\n",
          begin +
              "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./c, args: [a], "
              "env: [{name: n, value: v}], provideClusterInfo: true}}\n",
          begin + "{username: u, password: p}\n",
          absl::StrReplaceAll(
              begin, {{"https://h:1", "https://h/k8s/c"},
                      {"certificate-authority-data: UEVN", "proxy-url: 'http://u:p%40@b:1/'"}}) +
              "{token: t, as: u, as-uid: i, as-groups: [g], as-user-extra: {a/b: [c]}}\n",
          R"({"kind": "ExecCredential", "status": {"token": "t"}})",
          R"({"kind": "ExecCredential", "status": {"clientCertificateData": "c",
              "clientKeyData": "k"}})",
          "resources: [a.yaml, ../b]\nimages: [{name: i, newName: j, newTag: '1', digest: d}]\n",
          "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'r:1/i:2@sha256:a'}]}\n"};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 64 * 1024) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // Twice, as one that says again what the first has said.
  const auto found = byrnie::ServerOfKubeconfigs(
      {byrnie::KubeconfigText{text, "/a"}, byrnie::KubeconfigText{text, "/b"}}, "");
  if (found.ok()) byrnie::CheckServer(*found);
  const auto own = byrnie::ParseKubeconfig(text, "/a");
  if (own.ok()) {
    byrnie::CheckServer(*own);
    byrnie::Check(!own->HasClientCertificate() && !own->exec.has_value());
  }
  byrnie::ApiServer server;
  if (byrnie::TakeExecCredential(text, &server).ok()) {
    byrnie::Check(server.HasToken() || server.HasClientCertificate());
  }
  (void)byrnie::RenderOverlay(
      [&text](const std::string& path) -> absl::StatusOr<std::string> {
        // It is also what it refers to: a folder within itself ends.
        if (path == "a/kustomization.yaml" || path == "a/a.yaml") return text;
        return absl::NotFoundError(path);
      },
      "a");
  return 0;
}
