// byrniectl: what an operator types. Exit codes: ctl/exit_code.h.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/standard_descriptors.h"
#include "common/base/unique_fd.h"
#include "common/base/version.h"
#include "common/config/command_line.h"
#include "common/grpc/library_log.h"
#include "common/telemetry/json_text.h"
#include "ctl/command.h"
#include "ctl/command_table.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/fleet.h"
#include "ctl/operator_client.h"

namespace byrnie {
namespace {

constexpr char kName[] = "byrniectl";
constexpr char kReplacement[] = "\xEF\xBF\xBD";  // U+FFFD.

// Of several control planes, the first that can be reached: any of them answers for all. Where none
// can it stays the first, whose call says why.
void ChooseReachable(const std::vector<std::string>& targets, CommandContext* context) {
  for (size_t i = 0; i < targets.size() && targets.size() > 1; ++i) {
    if (context->clients[i]->ConnectsWithin(kConnectTime)) {
      context->client = context->clients[i];
      context->control_plane = targets[i];
      return;
    }
    Note(absl::StrCat(kName, ": note: control plane at ", targets[i], " cannot be reached\n"));
  }
}

int RunCommand(const Command& command, CommandContext context) {
  const absl::StatusOr<bool> json = WantsJson();
  if (!json.ok()) return BadUsage(json.status());
  context.json = *json;
  const absl::Status checked = command.check == nullptr ? absl::OkStatus() : command.check(context);
  if (!checked.ok()) return BadUsage(checked);
  const bool stays_away = command.stays_away != nullptr && command.stays_away();
  if (!command.talks || stays_away) return command.run(context);
  absl::StatusOr<ConnectionOptions> options = ReadConnectionOptions(context.now);
  if (absl::IsUnauthenticated(options.status())) return Failed(options.status());
  if (!options.ok()) return BadUsage(options.status());
  if (!options->warning.empty()) {
    std::fprintf(stderr, "%s: warning: %s\n", kName, options->warning.c_str());
  }
  RouteGrpcLog(nullptr);
  std::vector<std::unique_ptr<OperatorClient>> clients;
  for (const std::string& target : options->control_planes) {
    absl::StatusOr<std::unique_ptr<OperatorClient>> client =
        OperatorClient::Create(target, options->trust_domain, options->trust_bundle_pem,
                               options->token.Clone(), options->identity);
    if (!client.ok()) return BadUsage(client.status());
    context.clients.push_back(client->get());
    clients.push_back(*std::move(client));
  }
  context.control_plane = options->control_planes.front();
  context.client = context.clients.front();
  if (!command.asks_all) ChooseReachable(options->control_planes, &context);
  return command.run(context);
}

// Whether nothing of it has to be replaced.
bool IsUtf8(const std::string& text) {
  std::string escaped;
  AppendJsonEscaped(text, &escaped);
  return absl::StrContains(text, kReplacement) || !absl::StrContains(escaped, kReplacement);
}

// Without a stdout nothing can be written, which is to be an error where something is: /dev/null
// that nobody can write to stands in for it.
void OpenDescriptors() {
  const bool has_stdout = fcntl(STDOUT_FILENO, F_GETFD) >= 0;
  OpenStandardDescriptors();
  if (has_stdout) return;
  const UniqueFd unwritable(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (unwritable) dup2(unwritable.get(), STDOUT_FILENO);
}

int Run(int argc, char** argv) {
  OpenDescriptors();
  const absl::Status environment = ApplyEnvironment();
  if (!environment.ok()) return BadUsage(environment);
  const std::vector<std::string> expanded =
      ExpandShortFlags(absl::MakeConstSpan(argv + 1, static_cast<size_t>(std::max(argc - 1, 0))));
  std::vector<const char*> args;
  for (const std::string& arg : expanded) {
    // Nor could a request carry it.
    if (!IsUtf8(arg)) {
      return BadUsage(absl::InvalidArgumentError(
          absl::StrCat("the argument \"", absl::CHexEscape(arg), "\" is not UTF-8")));
    }
    args.push_back(arg.c_str());
  }
  const absl::StatusOr<CommandLine> line = ParseCommandLine(args);
  if (!line.ok()) return BadUsage(line.status());
  if (line->action == CommandLine::Action::kShowVersion) {
    Print(absl::StrCat(kName, " ", kRelease, "\n"));
    return kDone;
  }
  if (line->action == CommandLine::Action::kShowHelp) {
    Print(HelpFor(line->positional));
    return kDone;
  }
  CommandContext context;
  context.now = SystemClock().WallNow();
  const absl::StatusOr<const Command*> command = FindCommand(line->positional, &context.arguments);
  if (!command.ok()) return BadUsage(command.status());
  const absl::Status flags = CheckFlags(**command, line->given);
  if (!flags.ok()) return BadUsage(flags);
  context.given = line->given;
  return RunCommand(**command, std::move(context));
}

}  // namespace

}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Conclude(byrnie::Run(argc, argv)); }
