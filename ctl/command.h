#ifndef BYRNIE_CTL_COMMAND_H_
#define BYRNIE_CTL_COMMAND_H_

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ctl/exit_code.h"
#include "ctl/fleet.h"
#include "ctl/operator_client.h"

namespace byrnie {

// What a command works with.
struct CommandContext {
  // What follows the command and is not a flag.
  std::vector<std::string> arguments;
  absl::Time now;
  bool json = false;
  // The flags that were typed, by name.
  std::set<std::string> given;
  // HOST:PORT.
  std::string control_plane;
  // Null for a command that needs none.
  OperatorClient* client = nullptr;
  // Of each of --control_plane, for what every control plane knows for itself; `client` is the
  // first of them that could be reached, or the first.
  std::vector<OperatorClient*> clients;
};

// Something byrniectl does.
struct Command {
  // "policy apply".
  absl::string_view path;
  // As in its usage line; empty: none.
  absl::string_view arguments;
  // One line.
  absl::string_view summary;
  // Further text for its own --help; may be empty.
  absl::string_view details;
  // Its own flags.
  absl::Span<const absl::string_view> flags;
  size_t min_arguments, max_arguments;
  // It talks to the control plane, and takes kConnectionFlags.
  bool talks;
  // Returns an ExitCode.
  int (*run)(const CommandContext&);
  // What can be wrong with its own flags, found before anything else is looked at; null: nothing.
  absl::Status (*check)(const CommandContext&) = nullptr;
  // It asks all of --control_plane, and says itself which have not answered.
  bool asks_all = false;
  // Whether its flags say that it talks to nobody this time, though `talks`; null: never.
  bool (*stays_away)() = nullptr;
};

// All of them, in the order of --help.
absl::Span<const Command> Commands();

// Says in one line on stderr what went wrong, and returns the ExitCode for it.
int Failed(const absl::Status& status);
// The same for what has not answered: kUnreachable.
int NotReached(const absl::Status& status);
// The same for what was typed: kUsage.
int BadUsage(const absl::Status& status);
// Says, one line each, which control planes have not answered: what only they know is missing.
void NoteMissing(const std::vector<MissingAnswer>& missing);
// Says so, and returns `code`, or kIncomplete instead of kDone where one has not answered.
int Finish(ExitCode code, const std::vector<MissingAnswer>& missing);
// What was done, for scripts.
struct Deed {
  absl::string_view done;  // "deleted"
  absl::string_view kind;  // "policy"
  std::string name;        // "demo/allow-client"
  // Further fields, name and value.
  std::vector<std::pair<absl::string_view, std::string>> more = {};
};
// Says that it is done, as one JSON object of the deed's fields or as a line for people, which ends
// with a newline. Returns kDone.
int ReportDone(const CommandContext& context, const Deed& deed, absl::string_view line);
// Writes to stdout, at once. That it could not be is told by OutputWritten and, at the end, by
// Conclude.
void Print(absl::string_view text);
// Whether all that was printed has been written.
bool OutputWritten();
// What byrniectl ends with where a command returned `code`: kProblem, and a message unless nobody
// reads a pipe any more, when not all of the output could be written.
int Conclude(int code);
// What --file names, or stdin. InvalidArgument that names the flag.
absl::StatusOr<std::string> ReadDocument();
// What a file holds, a pipe, or for "-" stdin; errors of ReadInput.
absl::StatusOr<std::string> ReadDocumentAt(const std::string& path);
// The same for a policy. InvalidArgument: it is longer than a control plane takes.
absl::StatusOr<std::string> ReadPolicy();
absl::StatusOr<std::string> ReadPolicyAt(const std::string& path);
// What the control plane says is wrong with a document, with the name of its file.
absl::Status InDocument(const std::string& path, const absl::Status& status);
inline constexpr size_t kMaxDocument = 1024 * 1024;
inline constexpr size_t kMaxPolicy = 256 * 1024;
// Writes to stderr, for people, what is not the result.
void Note(absl::string_view text);

// The commands, by file.
int RunStatus(const CommandContext&);
int RunWorkloads(const CommandContext&);
int RunServices(const CommandContext&);
int RunWorkloadGet(const CommandContext&);
int RunServiceGet(const CommandContext&);
int RunRegistryApply(const CommandContext&);
int RunWorkloadDelete(const CommandContext&);
int RunServiceDelete(const CommandContext&);
int RunAgents(const CommandContext&);
int RunCerts(const CommandContext&);
int RunIdentity(const CommandContext&);
int RunEvents(const CommandContext&);
absl::Status CheckEvents(const CommandContext&);
int RunExplain(const CommandContext&);
int RunCheck(const CommandContext&);
int RunPolicyList(const CommandContext&);
int RunPolicyGet(const CommandContext&);
int RunPolicyValidate(const CommandContext&);
int RunPolicyApply(const CommandContext&);
int RunPolicyDelete(const CommandContext&);
int RunPolicyDiff(const CommandContext&);
absl::Status CheckPolicyDiff(const CommandContext&);
int RunPolicySuggest(const CommandContext&);
absl::Status CheckPolicySuggest(const CommandContext&);
int RunFlows(const CommandContext&);
absl::Status CheckFlows(const CommandContext&);
int RunTokenCreate(const CommandContext&);
absl::Status CheckTokenCreate(const CommandContext&);
int RunTokenList(const CommandContext&);
int RunTokenRevoke(const CommandContext&);
int RunTrustStatus(const CommandContext&);
int RunTrustRotate(const CommandContext&);
absl::Status CheckTrustRotate(const CommandContext&);
int RunTrustRollback(const CommandContext&);
absl::Status CheckTrustRollback(const CommandContext&);
int RunIssuances(const CommandContext&);
absl::Status CheckIssuances(const CommandContext&);
int RunRevocations(const CommandContext&);
int RunRevoke(const CommandContext&);
absl::Status CheckRevoke(const CommandContext&);
int RunProxyConfig(const CommandContext&);
int RunProxyConnections(const CommandContext&);
int RunProxyLog(const CommandContext&);
int RunProxyDrain(const CommandContext&);
int RunBugReport(const CommandContext&);
absl::Status CheckBugReport(const CommandContext&);
int RunVerify(const CommandContext&);
int RunInject(const CommandContext&);
int RunUninject(const CommandContext&);
int RunInstall(const CommandContext&);
int RunUninstall(const CommandContext&);
int RunManifests(const CommandContext&);
// check --pre.
bool ChecksClusterAlone();
int RunClusterCheck(const CommandContext&);
int RunReady(const CommandContext&);
int RunHelp(const CommandContext&);
int RunVersion(const CommandContext&);
int RunCompletion(const CommandContext&);

}  // namespace byrnie

#endif  // BYRNIE_CTL_COMMAND_H_
