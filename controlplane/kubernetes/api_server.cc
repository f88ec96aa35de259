#include "controlplane/kubernetes/api_server.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr size_t kMaxKubeconfig = 1024 * 1024;
constexpr char kHowToMake[] =
    "; make it with: kubectl config view --minify --flatten --raw -o json";

absl::Status ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 1 || number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no port"));
  }
  *port = static_cast<uint16_t>(number);
  return absl::OkStatus();
}

// "https://HOST[:PORT][/]".
absl::Status ParseServer(absl::string_view url, ApiServer* server) {
  absl::string_view rest = url;
  if (!absl::ConsumePrefix(&rest, "https://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("server \"", url, "\" is not https://HOST[:PORT]"));
  }
  absl::ConsumeSuffix(&rest, "/");
  absl::string_view port;
  if (absl::ConsumePrefix(&rest, "[")) {
    const size_t end = rest.find(']');
    if (end == absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("server \"", url, "\" has a [ without ]"));
    }
    port = rest.substr(end + 1);
    rest = rest.substr(0, end);
    if (!port.empty() && !absl::ConsumePrefix(&port, ":")) port = "?";
  } else {
    const size_t colon = rest.find(':');
    if (colon != absl::string_view::npos) {
      port = rest.substr(colon + 1);
      rest = rest.substr(0, colon);
    }
  }
  if (rest.empty() || rest.find_first_of("/?#@[] ") != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("server \"", url, "\" is not https://HOST[:PORT]"));
  }
  server->host = std::string(rest);
  return port.empty() ? absl::OkStatus() : ParsePort(port, &server->port);
}

std::string InDirectory(absl::string_view directory, const std::string& path) {
  if (directory.empty() || absl::StartsWith(path, "/")) return path;
  return absl::StrCat(directory, "/", path);
}

// The member `member` of the entry of `list` that is called `name`.
absl::StatusOr<JsonObject> FindNamed(const JsonObject& config, absl::string_view list,
                                     absl::string_view name, absl::string_view member) {
  ASSIGN_OR_RETURN(std::vector<JsonValue> entries, config.GetArrayOrEmpty(list));
  for (const JsonValue& value : entries) {
    ASSIGN_OR_RETURN(JsonObject entry, value.AsObject());
    ASSIGN_OR_RETURN(std::string entry_name, entry.GetString("name"));
    if (entry_name == name) return entry.GetObject(member);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", list, "\" has none of the name \"", name, "\""));
}

absl::Status ReadCluster(const JsonObject& cluster, absl::string_view directory,
                         ApiServer* server) {
  RETURN_IF_ERROR(
      cluster.CheckKeys({"server", "certificate-authority", "certificate-authority-data",
                         "tls-server-name", "insecure-skip-tls-verify", "extensions"}));
  ASSIGN_OR_RETURN(bool insecure, cluster.GetBoolOr("insecure-skip-tls-verify", false));
  if (insecure) {
    return cluster.Get("insecure-skip-tls-verify")
        ->Error("is not taken: give certificate-authority-data");
  }
  const absl::StatusOr<std::string> url = cluster.GetString("server");
  if (!url.ok()) return url.status();
  RETURN_IF_ERROR(ParseServer(*url, server));
  ASSIGN_OR_RETURN(server->server_name, cluster.GetStringOr("tls-server-name", server->host));
  ASSIGN_OR_RETURN(std::string data, cluster.GetStringOr("certificate-authority-data", ""));
  ASSIGN_OR_RETURN(std::string file, cluster.GetStringOr("certificate-authority", ""));
  if (!data.empty()) {
    if (absl::Base64Unescape(data, &server->ca_pem)) return absl::OkStatus();
    return cluster.Get("certificate-authority-data")->Error("is not base64");
  }
  if (file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(cluster.path(), ": there is no certificate-authority"));
  }
  server->ca_file = InDirectory(directory, file);
  return absl::OkStatus();
}

absl::Status ReadUser(const JsonObject& user, absl::string_view directory, ApiServer* server) {
  for (absl::string_view name :
       {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "exec",
        "auth-provider", "username", "password"}) {
    if (!user.Has(name)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        user.path(), ": ", name,
        " is not taken; give a service account's token or tokenFile (kubectl create token)"));
  }
  RETURN_IF_ERROR(user.CheckKeys({"token", "tokenFile", "extensions"}));
  ASSIGN_OR_RETURN(std::string file, user.GetStringOr("tokenFile", ""));
  // As kubectl: the file, where there are both.
  if (!file.empty()) {
    server->token_file = InDirectory(directory, file);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::string token, user.GetStringOr("token", ""));
  if (token.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(user.path(), ": there is neither token nor tokenFile"));
  }
  server->token = SecretBytes::TakeFrom(&token);
  return absl::OkStatus();
}

}  // namespace

std::string ApiServer::Authority() const {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

absl::StatusOr<ApiServer> InClusterApiServer(
    const std::function<std::string(absl::string_view name)>& get_environment,
    const std::string& directory) {
  ApiServer server;
  server.host = get_environment("KUBERNETES_SERVICE_HOST");
  const std::string port = get_environment("KUBERNETES_SERVICE_PORT");
  if (server.host.empty() || port.empty()) {
    return absl::FailedPreconditionError(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod; give a "
        "kubeconfig");
  }
  const absl::Status parsed = ParsePort(port, &server.port);
  if (!parsed.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("KUBERNETES_SERVICE_PORT: ", parsed.message()));
  }
  server.server_name = server.host;
  server.ca_file = absl::StrCat(directory, "/ca.crt");
  server.token_file = absl::StrCat(directory, "/token");
  return server;
}

absl::StatusOr<ApiServer> ParseKubeconfig(absl::string_view json, absl::string_view directory) {
  absl::StatusOr<JsonValue> value = JsonValue::Parse(json, kMaxKubeconfig);
  // The parser's message quotes the text, which may have a token.
  if (!value.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("it is not JSON", kHowToMake));
  }
  ASSIGN_OR_RETURN(JsonObject config, value->AsObject());
  ASSIGN_OR_RETURN(std::string current, config.GetString("current-context"));
  ASSIGN_OR_RETURN(JsonObject context, FindNamed(config, "contexts", current, "context"));
  ASSIGN_OR_RETURN(std::string cluster_name, context.GetString("cluster"));
  ASSIGN_OR_RETURN(std::string user_name, context.GetString("user"));
  ASSIGN_OR_RETURN(JsonObject cluster, FindNamed(config, "clusters", cluster_name, "cluster"));
  ASSIGN_OR_RETURN(JsonObject user, FindNamed(config, "users", user_name, "user"));
  ApiServer server;
  RETURN_IF_ERROR(ReadCluster(cluster, directory, &server));
  RETURN_IF_ERROR(ReadUser(user, directory, &server));
  return server;
}

absl::StatusOr<ApiServer> ReadKubeconfig(const std::string& path) {
  ASSIGN_OR_RETURN(SecretBytes text, ReadSecretFile(path, kMaxKubeconfig));
  const size_t slash = path.rfind('/');
  const absl::string_view directory =
      slash == std::string::npos ? absl::string_view()
                                 : absl::string_view(path).substr(0, std::max<size_t>(slash, 1));
  absl::StatusOr<ApiServer> server = ParseKubeconfig(text.view(), directory);
  if (server.ok()) return server;
  return absl::Status(server.status().code(),
                      absl::StrCat("kubeconfig \"", path, "\": ", server.status().message()));
}

}  // namespace byrnie
