#include "ctl/install/kubeconfig.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "deploy/injector/json.h"
#include "deploy/injector/yaml_reader.h"

namespace byrnie {
namespace {

constexpr size_t kMaxKubeconfig = 1024 * 1024;
constexpr size_t kMaxTrustStore = 1024 * 1024;

// Makes the paths of an entry's member absolute: another file's directory is another one.
void Anchor(const std::string& directory, absl::string_view member, Json* entry) {
  if (!entry->is_object() || directory.empty()) return;
  Json* const inner = Find(entry, member);
  if (inner == nullptr || !inner->is_object()) return;
  const auto anchor = [&directory](Json* object, const char* name) {
    const std::string path = TextOf(*object, name);
    if (path.empty() || absl::StartsWith(path, "/")) return;
    (*object)[name] = absl::StrCat(directory, "/", path);
  };
  for (const char* name :
       {"certificate-authority", "client-certificate", "client-key", "tokenFile"}) {
    anchor(inner, name);
  }
  Json* const exec = Find(inner, "exec");
  if (exec != nullptr && absl::StrContains(TextOf(*exec, "command"), '/')) anchor(exec, "command");
}

// Entries of `from` whose names are new.
void Merge(const Json& from, absl::string_view list, absl::string_view member,
           const std::string& directory, Json* into) {
  Json* const entries = ArrayIn(into, list);
  for (const Json& entry : ItemsOf(from, list)) {
    const std::string name = TextOf(entry, "name");
    if (absl::c_any_of(*entries,
                       [&name](const Json& known) { return TextOf(known, "name") == name; })) {
      continue;
    }
    entries->push_back(entry);
    Anchor(directory, member, &entries->back());
  }
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return "";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::StatusOr<KubeconfigText> ReadConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const SecretBytes text, ReadSecretFile(path, kMaxKubeconfig));
  return KubeconfigText{std::string(text.view()), DirectoryOf(path)};
}

void Wipe(std::vector<KubeconfigText>* configs) {
  for (KubeconfigText& config : *configs) WipeString(&config.text);
}

// Where distributions keep what they trust: Debian and Alpine, Red Hat, SUSE, and the rest.
constexpr const char* kTrustStores[] = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem"};

// SSL_CERT_FILE, as for kubectl, or this system's.
absl::Status FindSystemRoots(
    const std::function<std::string(absl::string_view name)>& get_environment, ApiServer* server) {
  server->ca_file = get_environment("SSL_CERT_FILE");
  if (!server->ca_file.empty()) return absl::OkStatus();
  for (const char* path : kTrustStores) {
    if (!ReadFile(path, kMaxTrustStore).ok()) continue;
    server->ca_file = path;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no certificate-authority, and no trust store of this system (",
                   absl::StrJoin(kTrustStores, ", "), "); give one of the two, or SSL_CERT_FILE"));
}

absl::Status FindWhatItLeavesToTheMachine(
    const std::function<std::string(absl::string_view name)>& get_environment, ApiServer* server) {
  if (server->system_roots) RETURN_IF_ERROR(FindSystemRoots(get_environment, server));
  if (server->proxy.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(server->proxy, ProxyOfEnvironment(get_environment, server->host, server->port));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ApiServer> ServerOfKubeconfigs(const std::vector<KubeconfigText>& configs,
                                              absl::string_view context) {
  Json merged = Json::object();
  std::string current(context);
  for (const KubeconfigText& config : configs) {
    const absl::StatusOr<std::vector<YamlNode>> documents = ReadYaml(config.text);
    // What the reader says may quote a token.
    // Nothing but comments, say: kubectl skips it, too.
    if (documents.ok() && documents->empty()) continue;
    if (!documents.ok() || documents->size() != 1) {
      return absl::InvalidArgumentError("it is not one document of YAML");
    }
    const absl::StatusOr<Json> value = YamlToJson(documents->front());
    if (!value.ok()) return absl::InvalidArgumentError("a key is there twice, or is none");
    if (value->is_null()) continue;
    if (!value->is_object()) return absl::InvalidArgumentError("it is no map");
    if (current.empty()) current = TextOf(*value, "current-context");
    Merge(*value, "contexts", "context", "", &merged);
    Merge(*value, "clusters", "cluster", config.directory, &merged);
    Merge(*value, "users", "user", config.directory, &merged);
  }
  if (current.empty()) {
    return absl::InvalidArgumentError("there is no current-context; give one with --context");
  }
  std::string text = ToText(merged);
  absl::StatusOr<ApiServer> server = ParsePersonalKubeconfig(text, "", current);
  WipeString(&text);
  return server;
}

absl::StatusOr<ApiServer> FindApiServer(
    const std::string& path, absl::string_view context,
    const std::function<std::string(absl::string_view name)>& get_environment) {
  std::vector<std::string> paths;
  const bool asked = !path.empty();
  if (asked) {
    paths.push_back(path);
  } else {
    paths = absl::StrSplit(get_environment("KUBECONFIG"), ':', absl::SkipEmpty());
    const std::string home = get_environment("HOME");
    if (paths.empty() && !home.empty()) paths.push_back(absl::StrCat(home, "/.kube/config"));
  }
  std::vector<KubeconfigText> configs;
  for (const std::string& candidate : paths) {
    absl::StatusOr<KubeconfigText> config = ReadConfig(candidate);
    if (config.ok()) {
      // As kubectl does with an empty one, which is what a shell's redirection leaves behind.
      const bool empty = absl::StripAsciiWhitespace(config->text).empty();
      if (asked || !empty) configs.push_back(*std::move(config));
    } else if (asked || !absl::IsNotFound(config.status())) {
      return absl::InvalidArgumentError(
          absl::StrCat("kubeconfig \"", candidate, "\": ", config.status().message()));
    }
  }
  if (configs.empty()) {
    absl::StatusOr<ApiServer> own = InClusterApiServer(get_environment);
    if (own.ok()) {
      RETURN_IF_ERROR(FindWhatItLeavesToTheMachine(get_environment, &*own));
      return own;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no kubeconfig (", absl::StrJoin(paths, ", "), "); give one with --kubeconfig"));
  }
  absl::StatusOr<ApiServer> server = ServerOfKubeconfigs(configs, context);
  Wipe(&configs);
  if (server.ok()) {
    const absl::Status found = FindWhatItLeavesToTheMachine(get_environment, &*server);
    if (found.ok()) return server;
    server = found;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("kubeconfig \"", absl::StrJoin(paths, ":"), "\": ", server.status().message()));
}

}  // namespace byrnie
