#include "ctl/install/exec_credential.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"

extern char** environ;

namespace byrnie {
namespace {

constexpr size_t kMaxOutput = 1024 * 1024;
constexpr absl::Duration kPatience = absl::Minutes(5);

// KUBERNETES_EXEC_INFO: what the plugin is asked.
std::string InfoFor(const ApiServer& server) {
  const ExecPlugin& plugin = *server.exec;
  JsonWriter json;
  json.BeginObject().Field("apiVersion", plugin.api_version).Field("kind", "ExecCredential");
  json.Key("spec").BeginObject().Field("interactive", plugin.interactive);
  if (plugin.wants_cluster) {
    json.Key("cluster").BeginObject();
    json.Field("server", server.Url());
    json.Field("tls-server-name", server.server_name);
    if (!server.ca_pem.empty()) {
      json.Field("certificate-authority-data", absl::Base64Escape(server.ca_pem));
    }
    json.EndObject();
  }
  json.EndObject().EndObject();
  return std::move(json).Finish();
}

// Our own environment with what is added, "NAME=VALUE" each.
std::vector<std::string> EnvironmentFor(const ApiServer& server) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const char* const equals = strchr(*entry, '=');
    if (equals != nullptr)
      variables[std::string(*entry, static_cast<size_t>(equals - *entry))] = equals + 1;
  }
  for (const auto& [name, value] : server.exec->environment) variables[name] = value;
  variables["KUBERNETES_EXEC_INFO"] = InfoFor(server);
  std::vector<std::string> environment;
  for (const auto& [name, value] : variables) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(&text[0]);
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Spawn(const ApiServer& server, const UniqueFd& output) {
  const ExecPlugin& plugin = *server.exec;
  std::vector<std::string> words = {plugin.command};
  words.insert(words.end(), plugin.arguments.begin(), plugin.arguments.end());
  std::vector<std::string> environment = EnvironmentFor(server);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  if (!plugin.interactive) {
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, plugin.command.c_str(), &actions, nullptr,
                                   Pointers(&words).data(), Pointers(&environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return pid;
  return absl::FailedPreconditionError(absl::StrCat("cannot be run: ", strerror(error),
                                                    plugin.install_hint.empty() ? "" : "; ",
                                                    plugin.install_hint));
}

// All that it writes, until it closes its end. What came is the caller's to wipe, also of an error.
absl::Status ReadAll(int fd, std::string* text) {
  const SystemClock clock;
  const absl::Duration end = clock.MonotonicNow() + kPatience;
  char buffer[4096];
  while (true) {
    const absl::Duration left = end - clock.MonotonicNow();
    pollfd ready = {fd, POLLIN, 0};
    if (left <= absl::ZeroDuration()) return absl::FailedPreconditionError("takes too long");
    const int found = ::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (found < 0 && errno != EINTR) return absl::FailedPreconditionError(strerror(errno));
    if (found <= 0) continue;
    const ssize_t size = ::read(fd, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::FailedPreconditionError(strerror(errno));
    if (size == 0) return absl::OkStatus();
    if (text->size() + static_cast<size_t>(size) > kMaxOutput) {
      return absl::FailedPreconditionError("says too much");
    }
    text->append(buffer, static_cast<size_t>(size));
  }
}

absl::Status Run(const ApiServer& server, std::string* said) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return absl::FailedPreconditionError(strerror(errno));
  UniqueFd ours(ends[0]), theirs(ends[1]);
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(server, theirs));
  theirs = UniqueFd();
  const absl::Status read = ReadAll(ours.get(), said);
  if (!read.ok()) ::kill(pid, SIGKILL);
  int how = 0;
  while (::waitpid(pid, &how, 0) < 0 && errno == EINTR) {
  }
  RETURN_IF_ERROR(read);
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(WIFEXITED(how)
                                           ? absl::StrCat("ended with ", WEXITSTATUS(how))
                                           : absl::StrCat("was ended by signal ", WTERMSIG(how)));
}

}  // namespace

absl::Status TakeExecCredential(absl::string_view json, ApiServer* server) {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(json, kMaxOutput);
  // The parser's message quotes the text.
  if (!value.ok()) return absl::InvalidArgumentError("it says no JSON");
  ASSIGN_OR_RETURN(const JsonObject credential, value->AsObject());
  ASSIGN_OR_RETURN(const std::string kind, credential.GetString("kind"));
  if (kind != "ExecCredential") return absl::InvalidArgumentError("it says no ExecCredential");
  ASSIGN_OR_RETURN(const JsonObject status, credential.GetObject("status"));
  ASSIGN_OR_RETURN(std::string token, status.GetStringOr("token", ""));
  ASSIGN_OR_RETURN(const std::string chain, status.GetStringOr("clientCertificateData", ""));
  ASSIGN_OR_RETURN(std::string key, status.GetStringOr("clientKeyData", ""));
  if (chain.empty() != key.empty() || (token.empty() && chain.empty())) {
    return absl::InvalidArgumentError("it says neither a token nor a certificate with its key");
  }
  server->token = SecretBytes::TakeFrom(&token);
  server->client_chain_pem = chain;
  server->client_key_pem = SecretBytes::TakeFrom(&key);
  return absl::OkStatus();
}

absl::Status RunExecPlugin(ApiServer* server) {
  std::string said;
  absl::Status status = Run(*server, &said);
  if (status.ok()) status = TakeExecCredential(said, server);
  WipeString(&said);
  if (status.ok()) return status;
  return absl::FailedPreconditionError(absl::StrCat(
      "the kubeconfig's exec plugin \"", server->exec->command, "\": ", status.message()));
}

}  // namespace byrnie
