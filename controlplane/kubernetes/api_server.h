#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_API_SERVER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_API_SERVER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/secret_bytes.h"
#include "controlplane/kubernetes/http_proxy.h"

namespace byrnie {

// A program that says who somebody is, as kubeconfigs of managed clusters have one
// (client.authentication.k8s.io). A value.
struct ExecPlugin {
  std::string api_version;
  // A path, or a name to be looked for in PATH.
  std::string command;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
  // What to do where there is no such program.
  std::string install_hint;
  // It may ask somebody at the terminal.
  bool interactive = true;
  bool wants_cluster = false;
};

// Where a Kubernetes API server is, who vouches for it, and what to show it. Move-only.
struct ApiServer {
  static constexpr char kServiceAccountDirectory[] =
      "/var/run/secrets/kubernetes.io/serviceaccount";

  // A host name or an IP address without brackets.
  std::string host;
  uint16_t port = 443;
  // What its paths begin with where it shares the host with others: "/k8s/clusters/c-1", or "".
  std::string path_prefix;
  // The name its certificate is for; the host unless another one is given.
  std::string server_name;
  // PEM: a file that may change, or, where that is empty, the text itself.
  std::string ca_file;
  std::string ca_pem;
  // Nobody is named: those that this system trusts, in `ca_file` once that has been looked for. Of
  // its certificates those that are not understood count for nothing.
  bool system_roots = false;
  // The bearer token: as the CA.
  std::string token_file;
  SecretBytes token;
  // What a person has instead of a token: a certificate chain with its key, PEM, as the CA.
  std::string client_chain_file, client_chain_pem;
  std::string client_key_file;
  SecretBytes client_key_pem;
  // Sent with each request: on whose behalf.
  std::vector<std::pair<std::string, std::string>> headers;
  absl::optional<HttpProxy> proxy;
  // Whoever connects runs it first, and puts what it says into the token or the chain and key.
  absl::optional<ExecPlugin> exec;

  bool HasToken() const { return !token_file.empty() || !token.empty(); }
  bool HasClientCertificate() const {
    return !client_chain_file.empty() || !client_chain_pem.empty();
  }
  // For the Host field: "10.96.0.1:443", "[fd00::1]:443".
  std::string Authority() const { return JoinHostAndPort(host, port); }
  // "https://10.96.0.1:443/k8s/clusters/c-1", for people.
  std::string Url() const { return "https://" + Authority() + path_prefix; }
};

// Of a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which `get_environment` gives
// (empty: not set), and the service account's files in `directory`. FailedPrecondition outside a
// pod.
absl::StatusOr<ApiServer> InClusterApiServer(
    const std::function<std::string(absl::string_view name)>& get_environment,
    const std::string& directory = ApiServer::kServiceAccountDirectory);

// The current context of a kubeconfig, as JSON, which is YAML too: what `kubectl config view
// --minify --flatten --raw -o json` writes. Of it, `server` (https), `certificate-authority` or
// `certificate-authority-data`, `tls-server-name`, and of the user `token` or `tokenFile`; paths
// are relative to `directory`. InvalidArgument for what is missing, and for what is there and would
// have to be done otherwise: client certificates, exec plugins, proxies, passwords, impersonation,
// servers that are not to be verified. A control plane has an account of its own, and no
// administrator's.
absl::StatusOr<ApiServer> ParseKubeconfig(absl::string_view json, absl::string_view directory);

// The same for a person, as kubectl takes it: of the user also a client certificate and key, as
// files or as data, an exec plugin, and impersonation; of the cluster also a server with a path, a
// proxy, and none who vouches for it, which is `system_roots`. What is not known is passed over;
// InvalidArgument for what is known and would have to be done otherwise: passwords, auth-provider,
// servers that are not to be verified, proxies other than http. `context` instead of the current
// one; empty: the current one.
absl::StatusOr<ApiServer> ParsePersonalKubeconfig(absl::string_view json,
                                                  absl::string_view directory,
                                                  absl::string_view context);

// Reads the file of a kubeconfig; errors name the path.
absl::StatusOr<ApiServer> ReadKubeconfig(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_API_SERVER_H_
