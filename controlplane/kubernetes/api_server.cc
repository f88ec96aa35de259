#include "controlplane/kubernetes/api_server.h"

#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
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

// "https://HOST[:PORT][/]", and for a person with a path.
absl::Status ParseServer(absl::string_view url, bool with_path, ApiServer* server) {
  absl::string_view rest = url;
  const auto wrong = [&url, with_path] {
    return absl::InvalidArgumentError(absl::StrCat(
        "server \"", url, "\" is not https://HOST[:PORT]", with_path ? "[/PATH]" : ""));
  };
  if (!absl::ConsumePrefix(&rest, "https://")) return wrong();
  while (absl::ConsumeSuffix(&rest, "/")) {
  }
  const size_t slash = with_path ? rest.find('/') : absl::string_view::npos;
  if (slash != absl::string_view::npos) {
    server->path_prefix = std::string(rest.substr(slash));
    rest = rest.substr(0, slash);
    // It goes into the first line of requests.
    for (const char c : server->path_prefix) {
      if (!absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '?' || c == '#') {
        return wrong();
      }
    }
  }
  const absl::Status parsed = ParseHostAndPort(rest, &server->host, &server->port);
  if (parsed.ok()) return parsed;
  return absl::InvalidArgumentError(absl::StrCat(wrong().message(), ": ", parsed.message()));
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

absl::Status ReadProxy(const JsonObject& cluster, ApiServer* server) {
  ASSIGN_OR_RETURN(std::string url, cluster.GetStringOr("proxy-url", ""));
  if (url.empty()) return absl::OkStatus();
  absl::StatusOr<HttpProxy> proxy = ParseProxyUrl(url);
  WipeString(&url);
  if (!proxy.ok()) return cluster.Get("proxy-url")->Error(proxy.status().message());
  server->proxy = *std::move(proxy);
  return absl::OkStatus();
}

absl::Status ReadCluster(const JsonObject& cluster, absl::string_view directory, bool personal,
                         ApiServer* server) {
  if (!personal) {
    RETURN_IF_ERROR(
        cluster.CheckKeys({"server", "certificate-authority", "certificate-authority-data",
                           "tls-server-name", "insecure-skip-tls-verify", "extensions"}));
  }
  ASSIGN_OR_RETURN(bool insecure, cluster.GetBoolOr("insecure-skip-tls-verify", false));
  if (insecure) {
    return cluster.Get("insecure-skip-tls-verify")
        ->Error("is not taken: give certificate-authority-data");
  }
  const absl::StatusOr<std::string> url = cluster.GetString("server");
  if (!url.ok()) return url.status();
  RETURN_IF_ERROR(ParseServer(*url, personal, server));
  ASSIGN_OR_RETURN(server->server_name, cluster.GetStringOr("tls-server-name", server->host));
  if (personal) RETURN_IF_ERROR(ReadProxy(cluster, server));
  ASSIGN_OR_RETURN(std::string data, cluster.GetStringOr("certificate-authority-data", ""));
  ASSIGN_OR_RETURN(std::string file, cluster.GetStringOr("certificate-authority", ""));
  if (!data.empty()) {
    if (absl::Base64Unescape(data, &server->ca_pem)) return absl::OkStatus();
    return cluster.Get("certificate-authority-data")->Error("is not base64");
  }
  if (file.empty() && personal) {
    server->system_roots = true;
    return absl::OkStatus();
  }
  if (file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(cluster.path(), ": there is no certificate-authority"));
  }
  server->ca_file = InDirectory(directory, file);
  return absl::OkStatus();
}

// "NAME-data" in base64, or "NAME", a file's path.
template <typename Text>
absl::Status ReadPem(const JsonObject& user, const std::string& name, absl::string_view directory,
                     std::string* file, Text take) {
  ASSIGN_OR_RETURN(std::string path, user.GetStringOr(name, ""));
  ASSIGN_OR_RETURN(std::string data, user.GetStringOr(name + "-data", ""));
  std::string pem;
  if (!absl::Base64Unescape(data, &pem)) return user.Get(name + "-data")->Error("is not base64");
  WipeString(&data);
  if (pem.empty() && path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(user.path(), ": ", name, " is missing"));
  }
  // As kubectl: the data, where there are both.
  if (pem.empty()) *file = InDirectory(directory, path);
  take(&pem);
  return absl::OkStatus();
}

absl::StatusOr<ExecPlugin> ReadExec(const JsonObject& exec, absl::string_view directory) {
  ExecPlugin plugin;
  ASSIGN_OR_RETURN(plugin.api_version, exec.GetString("apiVersion"));
  if (!absl::StartsWith(plugin.api_version, "client.authentication.k8s.io/")) {
    return exec.Get("apiVersion")->Error("is not one of client.authentication.k8s.io");
  }
  ASSIGN_OR_RETURN(plugin.command, exec.GetString("command"));
  if (plugin.command.empty()) return exec.Get("command")->Error("is empty");
  if (absl::StrContains(plugin.command, '/')) {
    plugin.command = InDirectory(directory, plugin.command);
  }
  const auto given = [&exec](absl::string_view name) {
    return exec.Has(name) && !exec.Find(name)->is_null();
  };
  if (given("args")) {
    ASSIGN_OR_RETURN(plugin.arguments, exec.GetStringArrayOrEmpty("args"));
  }
  if (given("env")) {
    ASSIGN_OR_RETURN(std::vector<JsonValue> variables, exec.GetArrayOrEmpty("env"));
    for (const JsonValue& value : variables) {
      ASSIGN_OR_RETURN(JsonObject variable, value.AsObject());
      ASSIGN_OR_RETURN(std::string name, variable.GetString("name"));
      ASSIGN_OR_RETURN(std::string text, variable.GetString("value"));
      plugin.environment.emplace_back(std::move(name), std::move(text));
    }
  }
  ASSIGN_OR_RETURN(plugin.install_hint, exec.GetStringOr("installHint", ""));
  ASSIGN_OR_RETURN(std::string mode, exec.GetStringOr("interactiveMode", "IfAvailable"));
  plugin.interactive = mode != "Never";
  ASSIGN_OR_RETURN(plugin.wants_cluster, exec.GetBoolOr("provideClusterInfo", false));
  return plugin;
}

// A person's client certificate or plugin. False: there is none, the rest is a token's.
absl::StatusOr<bool> ReadPerson(const JsonObject& user, absl::string_view directory,
                                ApiServer* server) {
  if (user.Has("exec")) {
    ASSIGN_OR_RETURN(JsonObject exec, user.GetObject("exec"));
    ASSIGN_OR_RETURN(server->exec, ReadExec(exec, directory));
    return true;
  }
  if (!user.Has("client-certificate") && !user.Has("client-certificate-data")) return false;
  RETURN_IF_ERROR(
      ReadPem(user, "client-certificate", directory, &server->client_chain_file,
              [server](std::string* pem) { server->client_chain_pem = std::move(*pem); }));
  RETURN_IF_ERROR(
      ReadPem(user, "client-key", directory, &server->client_key_file,
              [server](std::string* pem) { server->client_key_pem = SecretBytes::TakeFrom(pem); }));
  return true;
}

absl::Status ReadToken(const JsonObject& user, absl::string_view directory, ApiServer* server) {
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

// A field's value, or a part of its name: not a byte that could end it.
bool IsPrintable(absl::string_view text) {
  return absl::c_all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

// As client-go writes a key of user-extra, which may be anything, into the name of a field.
std::string FieldNameOf(absl::string_view key) {
  std::string name;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) ||
        absl::StrContains("!#$&'*+-.^_`|~", absl::string_view(&c, 1))) {
      name.push_back(c);
    } else {
      absl::StrAppend(&name, "%", absl::Hex(byte, absl::kZeroPad2));
    }
  }
  return name;
}

absl::Status ReadExtra(const JsonObject& user, ApiServer* server) {
  ASSIGN_OR_RETURN(const JsonObject extra, user.GetObject("as-user-extra"));
  for (const auto& [key, value] : extra.Members()) {
    ASSIGN_OR_RETURN(const std::vector<JsonValue> texts, value.AsArray());
    for (const JsonValue& text : texts) {
      ASSIGN_OR_RETURN(std::string said, text.AsString());
      server->headers.emplace_back(absl::StrCat("Impersonate-Extra-", FieldNameOf(key)),
                                   std::move(said));
    }
  }
  return absl::OkStatus();
}

// Whom an administrator asks as (user impersonation).
absl::Status ReadImpersonation(const JsonObject& user, ApiServer* server) {
  ASSIGN_OR_RETURN(std::string as, user.GetStringOr("as", ""));
  ASSIGN_OR_RETURN(std::string uid, user.GetStringOr("as-uid", ""));
  const auto given = [&user](absl::string_view name) {
    return user.Has(name) && !user.Find(name)->is_null();
  };
  std::vector<std::string> groups;
  if (given("as-groups")) {
    ASSIGN_OR_RETURN(groups, user.GetStringArrayOrEmpty("as-groups"));
  }
  const bool extra = given("as-user-extra");
  if (as.empty()) {
    if (uid.empty() && groups.empty() && !extra) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(user.path(), ": as is missing, and its uid, groups or extra are there"));
  }
  server->headers.emplace_back("Impersonate-User", std::move(as));
  if (!uid.empty()) server->headers.emplace_back("Impersonate-Uid", std::move(uid));
  for (std::string& group : groups) {
    server->headers.emplace_back("Impersonate-Group", std::move(group));
  }
  if (extra) RETURN_IF_ERROR(ReadExtra(user, server));
  for (const auto& [name, value] : server->headers) {
    if (!IsPrintable(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(user.path(), ": ", name, " has a character that no field may have"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadPersonalUser(const JsonObject& user, absl::string_view directory,
                              ApiServer* server) {
  for (absl::string_view name : {"auth-provider", "username", "password"}) {
    if (!user.Has(name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(user.path(), ": ", name,
                     " is not taken; give a token, a client certificate or an exec plugin"));
  }
  RETURN_IF_ERROR(ReadImpersonation(user, server));
  ASSIGN_OR_RETURN(const bool found, ReadPerson(user, directory, server));
  return found ? absl::OkStatus() : ReadToken(user, directory, server);
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
  return ReadToken(user, directory, server);
}

struct KubeconfigEntries {
  JsonObject cluster, user;
};

// Those of a context.
absl::StatusOr<KubeconfigEntries> FindEntries(absl::string_view json, absl::string_view context) {
  absl::StatusOr<JsonValue> value = JsonValue::Parse(json, kMaxKubeconfig);
  // The parser's message quotes the text, which may have a token.
  if (!value.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("it is not JSON", kHowToMake));
  }
  ASSIGN_OR_RETURN(JsonObject config, value->AsObject());
  std::string wanted(context);
  if (wanted.empty()) {
    ASSIGN_OR_RETURN(wanted, config.GetString("current-context"));
  }
  ASSIGN_OR_RETURN(JsonObject entry, FindNamed(config, "contexts", wanted, "context"));
  ASSIGN_OR_RETURN(std::string cluster_name, entry.GetString("cluster"));
  ASSIGN_OR_RETURN(std::string user_name, entry.GetString("user"));
  ASSIGN_OR_RETURN(JsonObject cluster, FindNamed(config, "clusters", cluster_name, "cluster"));
  ASSIGN_OR_RETURN(JsonObject user, FindNamed(config, "users", user_name, "user"));
  return KubeconfigEntries{std::move(cluster), std::move(user)};
}

}  // namespace

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
  std::string host;
  const absl::Status parsed = ParseHostAndPort(absl::StrCat("h:", port), &host, &server.port);
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
  ASSIGN_OR_RETURN(const KubeconfigEntries entries, FindEntries(json, ""));
  ApiServer server;
  RETURN_IF_ERROR(ReadCluster(entries.cluster, directory, false, &server));
  RETURN_IF_ERROR(ReadUser(entries.user, directory, &server));
  return server;
}

absl::StatusOr<ApiServer> ParsePersonalKubeconfig(absl::string_view json,
                                                  absl::string_view directory,
                                                  absl::string_view context) {
  ASSIGN_OR_RETURN(const KubeconfigEntries entries, FindEntries(json, context));
  ApiServer server;
  RETURN_IF_ERROR(ReadCluster(entries.cluster, directory, true, &server));
  RETURN_IF_ERROR(ReadPersonalUser(entries.user, directory, &server));
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
