// proxy config, connections, log, drain; verify; help; version; completion: what needs no control
// plane.

#include <cstdio>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/file.h"
#include "common/base/json_writer.h"
#include "common/base/version.h"
#include "ctl/command.h"
#include "ctl/command_table.h"
#include "ctl/completion.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/http_get.h"
#include "ctl/table.h"
#include "ctl/verify_chains.h"

namespace byrnie {
namespace {

constexpr absl::Duration kPageTimeout = absl::Seconds(10);
constexpr size_t kMaxChainFile = 1024 * 1024;

absl::StatusOr<SocketAddress> ReadAdmin() {
  const std::string text = absl::GetFlag(FLAGS_admin);
  absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) return InFlag("admin", absl::StrCat("\"", text, "\" is not IP:PORT"));
  return address;
}

// Asks a page at --admin. kDone, and what it says, or why not has been said.
int AskPage(const SocketAddress& address, absl::string_view method, absl::string_view path,
            std::string* body) {
  absl::StatusOr<HttpPage> page = HttpRequestPage(address, method, path, kPageTimeout);
  if (!page.ok()) {
    std::fprintf(stderr,
                 "byrniectl: error: the proxy's admin port is not reached: %s; it is on the pod's "
                 "loopback address: run this in the pod, or give --admin\n",
                 std::string(page.status().message()).c_str());
    return kUnreachable;
  }
  if (page->status == 200) {
    *body = std::move(page->body);
    return kDone;
  }
  const int code = page->status == 401 || page->status == 403 ? kNotAllowed : kProblem;
  std::fprintf(stderr, "byrniectl: error: the proxy answers %d: %s\n", page->status,
               Printable(absl::StripSuffix(page->body, "\n")).c_str());
  return code;
}

int ShowPage(absl::string_view path) {
  const absl::StatusOr<SocketAddress> address = ReadAdmin();
  if (!address.ok()) return BadUsage(address.status());
  std::string body;
  const int code = AskPage(*address, "GET", path, &body);
  if (code == kDone) Print(body);
  return code;
}

// Asks for a change, once it is known that it is a proxy that is asked: agents and control planes
// have some of its pages, too.
int ChangeProxy(const CommandContext& context, absl::string_view path, Deed deed) {
  const absl::StatusOr<SocketAddress> address = ReadAdmin();
  if (!address.ok()) return BadUsage(address.status());
  deed.name = address->ToString();
  std::string body;
  int code = AskPage(*address, "GET", "/", &body);
  if (code != kDone) return code;
  for (const absl::string_view other : {"byrnie-controlplane", "byrnie-certagent"}) {
    if (!absl::StrContains(body, absl::StrCat("<title>", other, "</title>"))) continue;
    return BadUsage(InFlag(
        "admin", absl::StrCat(deed.name, " is the admin port of ", other,
                              ", not of a proxy, and nothing was changed; a proxy's is 15000")));
  }
  code = AskPage(*address, "POST", path, &body);
  return code == kDone ? ReportDone(context, deed, body) : code;
}

}  // namespace

int RunProxyConfig(const CommandContext&) { return ShowPage("/config_dump"); }

int RunProxyConnections(const CommandContext&) { return ShowPage("/connections"); }

int RunProxyLog(const CommandContext& context) {
  const std::string& level = context.arguments.front();
  for (const char* known : {"error", "warning", "info", "debug"}) {
    if (level != known) continue;
    return ChangeProxy(context, absl::StrCat("/logging?level=", level),
                       {"log_level_set", "proxy", "", {{"level", level}}});
  }
  return BadUsage(absl::InvalidArgumentError(
      absl::StrCat("\"", level, "\" is none of error, warning, info and debug")));
}

int RunProxyDrain(const CommandContext& context) {
  return ChangeProxy(context, "/drain", {"draining", "proxy", ""});
}

int RunVerify(const CommandContext& context) {
  const absl::StatusOr<VerifyOptions> options = ReadVerifyOptions(context.now);
  if (!options.ok()) return BadUsage(options.status());
  bool all_good = true;
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginArray();
  for (const std::string& path : context.arguments) {
    const absl::StatusOr<std::string> pem = ReadFile(path, kMaxChainFile);
    if (!pem.ok()) return Failed(pem.status());
    bool good = false;
    const std::string text = VerifyChainText(*pem, options->bundles, options->at, &good);
    if (context.json) {
      json.BeginObject().Field("file", path).Field("good", good).Field("message", text).EndObject();
    } else {
      Print(absl::StrCat(path, ": ", text, "\n"));
    }
    all_good = all_good && good;
  }
  json.EndArray();
  if (context.json) Print(std::move(json).Finish() + "\n");
  return all_good ? kDone : kProblem;
}

int RunHelp(const CommandContext& context) {
  const std::vector<std::string>& words = context.arguments;
  if (!words.empty() && !BeginsACommand(words.front())) {
    std::vector<std::string> arguments;
    return BadUsage(FindCommand(words, &arguments).status());
  }
  Print(HelpFor(words));
  return kDone;
}

int RunVersion(const CommandContext& context) {
  if (!context.json) {
    Print(absl::StrCat("byrniectl ", kRelease, "\n"));
    return kDone;
  }
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Field("name", "byrniectl").Field("release", kRelease).EndObject();
  Print(std::move(json).Finish() + "\n");
  return kDone;
}

int RunCompletion(const CommandContext& context) {
  const absl::StatusOr<std::string> script = CompletionScript(context.arguments.front());
  if (!script.ok()) return BadUsage(script.status());
  Print(*script);
  return kDone;
}

}  // namespace byrnie
