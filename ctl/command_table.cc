#include "ctl/command_table.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/version.h"
#include "common/config/command_line.h"
#include "ctl/edit_distance.h"
#include "ctl/exit_code.h"
#include "ctl/flag_texts.h"
#include "ctl/flags.h"

namespace byrnie {
namespace {

using Words = std::vector<std::string>;

constexpr absl::string_view kOutput[] = {"output"};
constexpr absl::string_view kInNamespace[] = {"namespace", "output"};
constexpr absl::string_view kEvents[] = {"follow", "cursor", "kinds", "output"};
constexpr absl::string_view kExplain[] = {"probe", "source_admin", "destination_admin", "output"};
constexpr absl::string_view kFile[] = {"file", "output"};
constexpr absl::string_view kFlows[] = {"namespace", "verdict", "output"};
constexpr absl::string_view kDiff[] = {"delete", "output"};
constexpr absl::string_view kApply[] = {"file", "expect", "accept", "output"};
constexpr absl::string_view kApplyEntries[] = {"file", "expect", "output"};
constexpr absl::string_view kDelete[] = {"expect", "output"};
constexpr absl::string_view kCreateToken[] = {"identity", "operator", "role", "ttl", "output"};
constexpr absl::string_view kListTokens[] = {"join", "output"};
constexpr absl::string_view kRevokeToken[] = {"join", "output"};
constexpr absl::string_view kRotate[] = {"step", "exclude", "dry_run", "wait", "timeout", "output"};
constexpr absl::string_view kRollback[] = {"exclude", "dry_run", "output"};
constexpr absl::string_view kIssuances[] = {"identity", "since", "until", "serial", "output"};
constexpr absl::string_view kRevoke[] = {"reason", "only", "accept_unknown", "output"};
// Of "proxy config" and "connections" what the proxy answers is JSON already.
constexpr absl::string_view kAdmin[] = {"admin", "output"};
constexpr absl::string_view kBugReport[] = {"file", "force", "pods"};
constexpr absl::string_view kVerify[] = {"trust_bundle", "trust_domain", "federated_bundle",
                                         "crl",          "at",           "output"};

constexpr absl::string_view kInject[] = {"file", "injector_config", "image", "revision",
                                         "sidecars"};
constexpr absl::string_view kUninject[] = {"file"};
constexpr absl::string_view kCheck[] = {"pre",
                                        "kubeconfig",
                                        "context",
                                        "overlay",
                                        "image",
                                        "namespace",
                                        "etcd",
                                        "sidecars",
                                        "revision",
                                        "injector_config",
                                        "manifests",
                                        "output",
                                        "image_pull_secret",
                                        "architecture",
                                        "memory_limit",
                                        "memory_request",
                                        "cpu_request",
                                        "volume_size",
                                        "storage_class"};
constexpr absl::string_view kInstall[] = {"kubeconfig",
                                          "context",
                                          "overlay",
                                          "image",
                                          "trust_domain",
                                          "namespace",
                                          "etcd",
                                          "sidecars",
                                          "revision",
                                          "injector_config",
                                          "manifests",
                                          "dry_run",
                                          "force",
                                          "wait",
                                          "timeout",
                                          "output",
                                          "image_pull_secret",
                                          "architecture",
                                          "memory_limit",
                                          "memory_request",
                                          "cpu_request",
                                          "volume_size",
                                          "storage_class"};
constexpr absl::string_view kUninstall[] = {"kubeconfig", "context", "manifests", "overlay",
                                            "dry_run",    "force",   "purge",     "output"};
constexpr absl::string_view kManifests[] = {
    "overlay",      "image",           "trust_domain",   "namespace",   "etcd",
    "sidecars",     "injector_config", "revision",       "manifests",   "image_pull_secret",
    "architecture", "memory_limit",    "memory_request", "cpu_request", "volume_size",
    "storage_class"};
constexpr absl::string_view kReady[] = {"admin", "within", "started", "gone"};

constexpr absl::string_view kRegistryFile =
    "FILE is in the shape of the registry file, {\"workloads\": [...], \"services\": [...]}, "
    "without\n"
    "policies: all of it is put in force, or nothing. It stands beside the registry file, which\n"
    "nothing here changes: a uid, a hostname or an address that is there is refused.";

constexpr Command kCommands[] = {
    {"status", "", "what runs: the control plane and the agents connected to it", "", kOutput, 0, 0,
     true, RunStatus, nullptr, true},
    {"check", "", "what is wrong, with remedies",
     "Looks at everything the control plane knows, or of several each of them, and ends with 1 "
     "when\n"
     "something is wrong. With --pre it asks the Kubernetes API server instead, whether Byrnie can "
     "be\n"
     "installed there, what is there of it, and what install with the same flags would keep, "
     "change\n"
     "and refuse; see --kubeconfig, --context and the flags of install.",
     kCheck, 0, 0, true, RunCheck, nullptr, true, ChecksClusterAlone},
    {"explain", "SOURCE DESTINATION:PORT", "why one workload can or cannot reach another",
     "Names the first step of the connection that fails, and ends with 1 when one does. SOURCE is "
     "an\n"
     "IP address, namespace/name or SPIFFE ID; DESTINATION an IP address, namespace/name or a\n"
     "service's namespace/hostname. Where the pods' pages are reached from here they are asked, "
     "too:\n"
     "readiness (15021) by itself, what only the admin port tells with --source_admin and\n"
     "--destination_admin. Of several control planes all are asked: each knows the agents that "
     "are\n"
     "connected to it.",
     kExplain, 2, 2, true, RunExplain, nullptr, true},
    {"workloads list", "", "workloads of the registry", "", kInNamespace, 0, 0, true, RunWorkloads,
     nullptr, true},
    {"workloads get", "NAME", "one workload, as workloads apply takes it",
     "NAME is a uid, an IP address or namespace/name.", kOutput, 1, 1, true, RunWorkloadGet},
    {"workloads apply", "-f FILE", "puts workloads in force, with services that come with them",
     kRegistryFile, kApplyEntries, 0, 0, true, RunRegistryApply},
    {"workloads delete", "NAME", "takes an applied workload out of force", "", kDelete, 1, 1, true,
     RunWorkloadDelete},
    {"services list", "", "services of the registry", "", kInNamespace, 0, 0, true, RunServices},
    {"services get", "NAMESPACE/HOSTNAME", "one service, as services apply takes it", "", kOutput,
     1, 1, true, RunServiceGet},
    {"services apply", "-f FILE", "puts services in force, with workloads that come with them",
     kRegistryFile, kApplyEntries, 0, 0, true, RunRegistryApply},
    {"services delete", "NAMESPACE/HOSTNAME", "takes an applied service out of force", "", kDelete,
     1, 1, true, RunServiceDelete},
    {"agents", "", "agents that are connected or were", "", kOutput, 0, 0, true, RunAgents, nullptr,
     true},
    {"certs", "", "certificates, the one that ends next first", "", kOutput, 0, 0, true, RunCerts,
     nullptr, true},
    {"identity", "SPIFFE_ID", "workloads, agents and certificate of one identity", "", kOutput, 1,
     1, true, RunIdentity, nullptr, true},
    {"flows", "[SPIFFE_ID]", "who has talked to whom, or was kept out",
     "What proxies have reported since the control plane started, or of one identity. With "
     "several\n"
     "control planes give all of them: each knows what its own agents told it.",
     kFlows, 0, 1, true, RunFlows, CheckFlows},
    {"events", "", "what happened, and with --follow what happens",
     "--follow goes on after a break from the last event it has shown, each control plane of "
     "several by\n"
     "itself: each event comes once, and what is not kept any more is said. After another break "
     "give\n"
     "the cursor of the last event (-o json has it). Of several control planes all are asked; a "
     "cursor\n"
     "is of one. With -o json each line is an object (JSON Lines), with --follow or without.",
     kEvents, 0, 0, true, RunEvents, CheckEvents, true},
    {"policy list", "", "policies in force", "", kInNamespace, 0, 0, true, RunPolicyList},
    {"policy get", "NAMESPACE/NAME", "one policy, as policy apply takes it", "", kOutput, 1, 1,
     true, RunPolicyGet},
    {"policy validate", "-f FILE", "says what a policy would mean, and changes nothing", "", kFile,
     0, 0, true, RunPolicyValidate},
    {"policy apply", "-f FILE", "puts a policy in force",
     "What is probably not meant (it matches everything, or nothing) is refused unless --accept "
     "is\n"
     "given. {\"dry_run\": true} in the policy is counted and logged by the proxies, never "
     "enforced.",
     kApply, 0, 0, true, RunPolicyApply},
    {"policy diff", "[FILE...]", "for which connections policies would decide otherwise",
     "Replays policies that are not in force, and with --delete the going of some that are, over "
     "the\n"
     "connections that the mesh has seen, and changes nothing. Ends with 5 when some would be "
     "denied\n"
     "or allowed that are not now. What a policy with {\"dry_run\": true} would deny is listed, "
     "too,\n"
     "and is no change. Ends with 6 when no connection was seen that could be compared.",
     kDiff, 0, 1000, true, RunPolicyDiff, CheckPolicyDiff},
    {"policy suggest", "NAMESPACE", "a policy that lets in who was seen, and nobody else",
     "One ALLOW policy for the whole namespace, as policy apply takes it: who is not in it is "
     "refused\n"
     "from then on, so look at policy diff first, and at what reached the namespace only before "
     "the "
     "mesh\n"
     "began to count. ALLOW policies that are in force let in whom they let in all the same.",
     kOutput, 1, 1, true, RunPolicySuggest, CheckPolicySuggest},
    {"policy delete", "NAMESPACE/NAME", "takes a policy out of force", "", kDelete, 1, 1, true,
     RunPolicyDelete},
    {"token create", "", "makes a token and prints it",
     "With --identity, a join token that lets a workload's agent in, once; with --operator and "
     "--role,\n"
     "a token for an operator.",
     kCreateToken, 0, 0, true, RunTokenCreate, CheckTokenCreate},
    {"token list", "", "operators' tokens, or with --join join tokens", "", kListTokens, 0, 0, true,
     RunTokenList},
    {"token revoke", "NAME", "refuses an operator's token, or with --join a join token by its id",
     "", kRevokeToken, 1, 1, true, RunTokenRevoke},
    {"trust status", "", "whom the mesh trusts, and where a rotation of the root stands", "",
     kOutput, 0, 0, true, RunTrustStatus},
    {"trust rotate", "", "moves the mesh to its next root",
     "Without --step all of it: prepare, distribute, activate, taint, revoke, each as soon as no\n"
     "agent keeps it back. Nothing breaks while it waits; trust status names whom it waits for. "
     "With\n"
     "--wait it ends when the rotation is over, and says on stderr meanwhile where it stands; it "
     "goes\n"
     "on whether or not somebody waits.",
     kRotate, 0, 0, true, RunTrustRotate, CheckTrustRotate},
    {"trust rollback", "", "takes a rotation of the root one step back", "", kRollback, 0, 0, true,
     RunTrustRollback, CheckTrustRollback},
    {"issuances", "", "certificates that were issued, to whom and on what proof", "", kIssuances, 0,
     0, true, RunIssuances, CheckIssuances},
    {"revocations", "", "certificates that are revoked: until when, by whom and why",
     "Also those that the log of issuances does not have. What has ended since is not among them.",
     kOutput, 0, 0, true, RunRevocations},
    {"revoke", "SERIAL", "revokes a certificate, and what was renewed from it",
     "SERIAL is as byrniectl issuances shows it. One that the log of issuances does not have is "
     "refused.\n"
     "All that was issued to whoever proved himself with it, or with one of those, is revoked with "
     "it,\n"
     "also where it has ended itself; takes three seconds, to find what is renewed at the last "
     "moment.",
     kRevoke, 1, 1, true, RunRevoke, CheckRevoke},
    {"proxy config", "", "what a proxy knows: flags, workloads, services and policies", "", kAdmin,
     0, 0, false, RunProxyConfig},
    {"proxy connections", "", "what is open in a proxy", "", kAdmin, 0, 0, false,
     RunProxyConnections},
    {"proxy log", "LEVEL", "makes a proxy log error, warning, info or debug", "", kAdmin, 1, 1,
     false, RunProxyLog},
    {"proxy drain", "", "tells a proxy to end, as SIGTERM does", "", kAdmin, 0, 0, false,
     RunProxyDrain},
    {"bug-report", "", "a tar file with all that helps, and nothing secret",
     "Status, agents, registry, policies, flows, trust, issuances of two hours, events, check, and "
     "of\n"
     "each of --pods its pages, metrics among them; the control plane's own are on its admin "
     "port,\n"
     "15014. Written to --file, byrnie-bug-report.tar unless told otherwise; a file that is there "
     "is\n"
     "replaced with --force alone. What cannot be had is named in it and on stderr, and it ends "
     "with 6\n"
     "then.",
     kBugReport, 0, 0, true, RunBugReport, CheckBugReport},
    {"verify", "CHAIN...", "what the mesh would make of certificates, without talking to it", "",
     kVerify, 1, 1000, false, RunVerify},
    {"inject", "-f FILE", "puts Byrnie into the pods of a Kubernetes manifest",
     "Writes the manifest with the sidecars to stdout, and what has changed to stderr. FILE is "
     "YAML "
     "of\n"
     "any number of documents, or JSON. Again it changes nothing; with an annotation that is wrong "
     "it\n"
     "ends with 2 and writes nothing.",
     kInject, 0, 0, false, RunInject},
    {"uninject", "-f FILE", "takes it out again", "", kUninject, 0, 0, false, RunUninject},
    {"install", "", "puts Byrnie into a Kubernetes cluster, or brings it to this release",
     "Applies the manifests of deploy/kubernetes, as they were when this program was built, to "
     "the\n"
     "cluster of the kubeconfig, and makes the store's key where there is none. What is installed\n"
     "keeps its settings where no flag says otherwise; another trust domain or store is refused. "
     "Again\n"
     "it changes nothing. With --dry_run it says what would become of each object, and ends with "
     "5\n"
     "when something would change. Server-side apply, as \"byrniectl\": what somebody else has "
     "set\n"
     "another way is an error, unless --force is given. On clusters before 1.29 sidecars are "
     "classic\n"
     "unless --sidecars says otherwise.",
     kInstall, 0, 0, false, RunInstall},
    {"uninstall", "", "takes it out of the cluster",
     "Takes away what install made, what asks about new pods first. Without --purge the namespace, "
     "the\n"
     "store's volume and its key stay, so that another installation goes on with the same CA. "
     "Refused\n"
     "while pods have a sidecar, unless --force is given.",
     kUninstall, 0, 0, false, RunUninstall},
    {"manifests", "", "what install would apply, as YAML, without talking to a cluster",
     "All but the store's key, the Secret byrnie-store-key. For kubectl apply -f -, or for a "
     "repository\n"
     "of manifests.",
     kManifests, 0, 0, false, RunManifests},
    {"ready", "", "whether a proxy or an agent in this pod can do its job",
     "Ends with 0 when its page /healthz/ready says so: --admin=127.0.0.1:15021 is the proxy's,\n"
     "--admin=127.0.0.1:15010 the agent's.",
     kReady, 0, 0, false, RunReady},
    {"help",
     "[COMMAND]",
     "what --help says, of all commands or of one",
     "",
     {},
     0,
     2,
     false,
     RunHelp},
    {"version", "", "which release of byrniectl this is", "", kOutput, 0, 0, false, RunVersion},
    {"completion",
     "bash|zsh",
     "a script for the shell: source <(byrniectl completion bash)",
     "",
     {},
     1,
     1,
     false,
     RunCompletion},
};

Words PathOf(const Command& command) { return absl::StrSplit(command.path, ' '); }

// Whether the first of `words` are those of `path`.
bool BeginsWith(const Words& words, const Words& path) {
  return words.size() >= path.size() && std::equal(path.begin(), path.end(), words.begin());
}

std::string Names(const std::vector<const Command*>& commands) {
  return absl::StrJoin(commands, ", ", [](std::string* out, const Command* command) {
    absl::StrAppend(out, "\"", command->path, "\"");
  });
}

// Commands whose path begins with the words that are there, as far as one does.
std::vector<const Command*> Group(const Words& words) {
  std::vector<const Command*> found;
  for (const Command& command : kCommands) {
    if (words.empty() || PathOf(command).front() == words.front()) found.push_back(&command);
  }
  return found;
}

std::string Usage(const Command& command) {
  return absl::StrCat("byrniectl ", command.path, command.arguments.empty() ? "" : " ",
                      command.arguments);
}

std::string CommandHelp(const Command& command) {
  std::string text = absl::StrCat("Usage: ", Usage(command), " [flags]\n\n", command.summary, "\n");
  if (!command.details.empty()) absl::StrAppend(&text, "\n", command.details, "\n");
  if (!command.flags.empty()) {
    absl::StrAppend(&text, "\nFlags:\n");
    for (const absl::string_view flag : command.flags) {
      const absl::string_view of_command = FlagTextOf(command.path, flag);
      absl::StrAppend(&text,
                      of_command.empty() ? FlagsText({flag}) : FlagTextWith(flag, of_command));
    }
  }
  if (command.talks) {
    absl::StrAppend(&text, "\nWhere the control plane is, and as whom:\n",
                    FlagsText(kConnectionFlags));
  }
  return absl::StrCat(text, "\n", kExitCodesText);
}

std::string ListHelp(const std::vector<const Command*>& commands) {
  size_t width = 0;
  for (const Command* command : commands) width = std::max(width, command->path.size());
  std::string text;
  for (const Command* command : commands) {
    absl::StrAppend(&text, "  ", command->path, std::string(width - command->path.size() + 2, ' '),
                    command->summary, "\n");
  }
  return text;
}

// The one of `known` that somebody who typed `word` has most likely meant; empty: none is like it.
std::string Nearest(const std::string& word, const Words& known) {
  std::string nearest;
  // A third of it may be wrong. What is too long to be compared is like none.
  size_t least = std::min((word.size() + 1) / 3 + 1, kMaxComparedWord);
  for (const std::string& one : known) {
    const size_t distance = EditDistance(word, one);
    if (distance >= least) continue;
    least = distance;
    nearest = one;
  }
  return nearest;
}

// The path of a command, or its first word, that is most like what was typed; empty: none is.
std::string NearestPath(const Words& words) {
  Words first;
  for (const Command& command : kCommands) first.push_back(PathOf(command).front());
  const std::string begin = Nearest(words.front(), first);
  Words second;
  for (const Command* command : Group({begin})) {
    if (PathOf(*command).size() > 1) second.push_back(PathOf(*command)[1]);
  }
  if (begin.empty() || second.empty()) return begin;
  const std::string end = words.size() > 1 ? Nearest(words[1], second) : "";
  // Of a group that was found as it is, the list of its commands says more.
  if (end.empty()) return begin == words.front() ? "" : begin;
  return absl::StrCat(begin, " ", end);
}

}  // namespace

absl::Span<const Command> Commands() { return kCommands; }

std::vector<std::string> FlagsOf(const Command& command) {
  std::vector<std::string> flags(command.flags.begin(), command.flags.end());
  if (command.talks) {
    for (const absl::string_view name : kConnectionFlags) flags.emplace_back(name);
  }
  flags.push_back("config");
  return flags;
}

bool BeginsACommand(absl::string_view word) { return !Group({std::string(word)}).empty(); }

absl::StatusOr<const Command*> FindCommand(const Words& words, Words* arguments) {
  for (const Command& command : kCommands) {
    const Words path = PathOf(command);
    if (!BeginsWith(words, path)) continue;
    arguments->assign(words.begin() + static_cast<ptrdiff_t>(path.size()), words.end());
    if (arguments->size() >= command.min_arguments && arguments->size() <= command.max_arguments) {
      return &command;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(arguments->size() < command.min_arguments
                         ? "an argument is missing"
                         : absl::StrCat("unexpected argument \"", arguments->back(), "\""),
                     "; usage: ", Usage(command)));
  }
  if (words.empty()) {
    return absl::InvalidArgumentError("no command; byrniectl --help lists them");
  }
  const std::vector<const Command*> group = Group(words);
  const std::string nearest = NearestPath(words);
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown command \"", absl::StrJoin(words, " "), "\"",
      nearest.empty() ? "" : absl::StrCat("; did you mean \"byrniectl ", nearest, "\"?"),
      group.empty() ? "; byrniectl --help lists them all"
                    : absl::StrCat("; give one of ", Names(group), ", see --help")));
}

absl::Status CheckFlags(const Command& command, const std::set<std::string>& given) {
  const std::vector<std::string> known = FlagsOf(command);
  for (const std::string& flag : given) {
    // Scripts set them once for all commands.
    if (absl::c_linear_search(known, flag) || absl::c_linear_search(kConnectionFlags, flag))
      continue;
    return absl::InvalidArgumentError(absl::StrCat("\"", command.path, "\" takes no flag --", flag,
                                                   "; see byrniectl ", command.path, " --help"));
  }
  return absl::OkStatus();
}

std::string HelpFor(const Words& words) {
  Words arguments;
  for (const Command& command : kCommands) {
    if (!words.empty() && BeginsWith(words, PathOf(command))) return CommandHelp(command);
  }
  const std::vector<const Command*> group = Group(words);
  if (!words.empty() && !group.empty()) {
    return absl::StrCat("Usage: byrniectl ", words.front(), " COMMAND [flags]\n\n", ListHelp(group),
                        "\nbyrniectl ", words.front(), " COMMAND --help says more.\n");
  }
  return absl::StrCat(
      "byrniectl ", kRelease, "\nTalks to the control plane of a Byrnie mesh.\n\n",
      "Usage: byrniectl COMMAND [flags]\n\n", ListHelp(Group({})),
      "\nbyrniectl COMMAND --help says more.\n\nWhere the control plane is, and as whom:\n",
      FlagsText(kConnectionFlags), "\nFor all commands:\n", FlagsText({"config"}),
      "  --help, --version\n      Shows this, or the release, and ends.\n\n", kExitCodesText);
}

}  // namespace byrnie
