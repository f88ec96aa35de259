// Sends a pod's TCP traffic through its proxy.
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/config/command_line.h"
#include "common/telemetry/log.h"
#include "deploy/redirect/interception.h"
#include "deploy/redirect/redirect_options.h"
#include "deploy/redirect/ruleset.h"
#include "deploy/redirect/watch.h"
#include "deploy/redirect/watch_loop.h"

using Strings = std::vector<std::string>;

ABSL_FLAG(std::string, mode, "redirect",
          "how inbound connections reach the proxy: redirect, or tproxy, with which applications "
          "see the addresses of their clients; the proxy's --inbound_interception says the same");
ABSL_FLAG(uint16_t, outbound_port, 15001,
          "port of the proxy that takes what the pod's applications open");
ABSL_FLAG(uint16_t, inbound_port, 15006,
          "port of the proxy that takes what others open towards the pod");
ABSL_FLAG(uint32_t, proxy_uid, 1337,
          "user of the proxy and the agent, whose traffic is not redirected");
ABSL_FLAG(Strings, include_inbound_ports, {},
          "ports of the pod that others reach through the proxy only, and no others: 80,8000-8100; "
          "* or empty: all");
ABSL_FLAG(Strings, exclude_inbound_ports, {},
          "ports of the pod that others reach without the proxy, beyond 15008, 15020 and 15021: "
          "22,9100-9110");
ABSL_FLAG(Strings, include_outbound_ports, {},
          "ports that applications reach through the proxy only; with --include_outbound_cidrs, "
          "what is in either list; * in one, or both empty: everything");
ABSL_FLAG(Strings, exclude_outbound_ports, {}, "ports that applications reach without the proxy");
ABSL_FLAG(Strings, include_outbound_cidrs, {},
          "networks that applications reach through the proxy only, like 10.0.0.0/8,fd00::/8; "
          "0.0.0.0/0 is all of IPv4");
ABSL_FLAG(Strings, exclude_outbound_cidrs, {},
          "networks that applications reach without the proxy, like 10.0.0.0/8,fd00::/8");
ABSL_FLAG(Strings, exclude_uids, {},
          "users whose processes connect without the proxy: 0,1000-1999");
ABSL_FLAG(Strings, exclude_gids, {}, "groups whose processes connect without the proxy");
ABSL_FLAG(Strings, include_interfaces, {},
          "interfaces of the pod whose traffic goes through the proxy, like eth0; empty: all");
ABSL_FLAG(Strings, exclude_interfaces, {},
          "interfaces of the pod whose traffic does not go through the proxy");
ABSL_FLAG(bool, diff, false,
          "print: only how what is installed differs (lines with - are missing, with + in excess)");
ABSL_FLAG(std::string, on_drift, "repair",
          "watch: what becomes of rules that somebody changed: report, repair, or fail-closed, "
          "which rejects all TCP but the proxy's own until the next apply");
ABSL_FLAG(std::string, metrics_file, "",
          "watch: file to keep its counts in, in Prometheus' text format; empty: none");

namespace byrnie {
namespace {

constexpr char kName[] = "byrnie-redirect";

constexpr char kNoZones[] =
    "this kernel is built without CONFIG_NF_CONNTRACK_ZONES, so that connection tracking may take "
    "a connection of the proxy's for one that an application had a moment ago from the same port, "
    "or the other way round, and the guard refuses it";

constexpr ProgramInfo kProgram = {
    kName,
    "Sends a pod's TCP traffic through its proxy, with nftables rules in the network namespace it "
    "is run in. What is excluded goes its own way; where there is an include list, so does all "
    "that it does not hold.\n"
    "\n"
    "  apply    put the rules in place, whatever was there; all of them or none\n"
    "  remove   take them away\n"
    "  check    exit 0 if the rules are in place, else show the difference and exit 1\n"
    "  print    show the rules, or with --diff how the installed ones differ; change nothing\n"
    "  watch    check every second and at each change, see --on_drift; ends with SIGTERM and "
    "leaves the rules",
    "apply|remove|check|print|watch"};

RedirectOptions OptionsFromFlags() {
  RedirectOptions options;
  options.mode = absl::GetFlag(FLAGS_mode);
  options.outbound_port = absl::GetFlag(FLAGS_outbound_port);
  options.inbound_port = absl::GetFlag(FLAGS_inbound_port);
  options.proxy_uid = absl::GetFlag(FLAGS_proxy_uid);
  options.include_inbound_ports = absl::GetFlag(FLAGS_include_inbound_ports);
  options.exclude_inbound_ports = absl::GetFlag(FLAGS_exclude_inbound_ports);
  options.include_outbound_ports = absl::GetFlag(FLAGS_include_outbound_ports);
  options.exclude_outbound_ports = absl::GetFlag(FLAGS_exclude_outbound_ports);
  options.include_outbound_cidrs = absl::GetFlag(FLAGS_include_outbound_cidrs);
  options.exclude_outbound_cidrs = absl::GetFlag(FLAGS_exclude_outbound_cidrs);
  options.exclude_uids = absl::GetFlag(FLAGS_exclude_uids);
  options.exclude_gids = absl::GetFlag(FLAGS_exclude_gids);
  options.include_interfaces = absl::GetFlag(FLAGS_include_interfaces);
  options.exclude_interfaces = absl::GetFlag(FLAGS_exclude_interfaces);
  return options;
}

// Those of the pod, loopback left out; empty where the kernel does not say.
std::vector<std::string> InterfacesThatAreUp() {
  std::vector<std::string> names;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return names;
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    // Each has one such entry, also without an address.
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_PACKET) continue;
    if ((entry->ifa_flags & IFF_UP) == 0 || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    names.push_back(entry->ifa_name);
  }
  freeifaddrs(all);
  return names;
}

// What can only be judged where the rules are to be put, and what is worth a word there.
void CheckHereOrExit(const RedirectOptions& options) {
  const absl::StatusOr<RedirectMatches> matches = CheckOptions(options);
  if (!matches.ok()) ExitWithError(kName, matches.status());
  const absl::Status status = CheckInterfacesThatAreUp(*matches, InterfacesThatAreUp());
  if (!status.ok()) ExitWithError(kName, status);
  for (const std::string& warning : matches->warnings) {
    std::fprintf(stderr, "byrnie-redirect: warning: %s\n", warning.c_str());
  }
}

// The exit code of a command that talked to the kernel and failed.
int Failed(const absl::Status& status, const char* consequence) {
  std::fprintf(stderr, "byrnie-redirect: error: %s%s\n", std::string(status.message()).c_str(),
               consequence);
  return 1;
}

int Change(const absl::Status& status) {
  return status.ok() ? 0 : Failed(status, "; nothing was changed");
}

int Check(Interception& interception, int code_when_different) {
  const absl::StatusOr<std::string> difference = interception.Difference();
  if (!difference.ok()) return Failed(difference.status(), "");
  std::fputs(difference->c_str(), stdout);
  return difference->empty() ? 0 : code_when_different;
}

int RunWatchCommand(Interception& interception, OnDrift on_drift) {
  Logger logger(STDERR_FILENO, Logger::Format::kJson, LogLevel::kInfo);
  if (!interception.zones()) logger.Warning(kNoZones);
  const std::string file = absl::GetFlag(FLAGS_metrics_file);
  Watch watch(&interception, on_drift, &logger, [&](const Watch::Counts& counts) {
    if (file.empty()) return;
    const absl::Status written = WriteFileAtomically(file, WatchMetricsText(counts), 0644);
    if (!written.ok()) logger.Warning("cannot write the metrics", {{"error", written.message()}});
  });
  if (absl::Status status = RunWatch(&watch); !status.ok()) return Failed(status, "");
  const Watch::Counts& counts = watch.counts();
  logger.Info("ended; the rules stay", {{"checks", counts.checks},
                                        {"drifts", counts.drifts},
                                        {"repairs", counts.repairs},
                                        {"failures", counts.failures}});
  return 0;
}

int Run(int argc, char** argv) {
  const std::vector<std::string> arguments = ParseCommandLineOrExit(argc, argv, kProgram);
  const std::string command = arguments.size() == 1 ? arguments[0] : "";
  if (command != "apply" && command != "remove" && command != "check" && command != "print" &&
      command != "watch") {
    ExitWithError(kName, absl::InvalidArgumentError("say what to do with one of apply, remove, "
                                                    "check, print or watch; see --help"));
  }
  const RedirectOptions options = OptionsFromFlags();
  absl::StatusOr<Ruleset> ruleset = Ruleset::Create(options);
  if (!ruleset.ok()) ExitWithError(kName, ruleset.status());
  const absl::StatusOr<OnDrift> on_drift = ParseOnDrift(absl::GetFlag(FLAGS_on_drift));
  if (!on_drift.ok()) ExitWithError(kName, on_drift.status());
  if (command == "print" && !absl::GetFlag(FLAGS_diff)) {
    std::fputs(ruleset->listing().c_str(), stdout);
    return 0;
  }
  if (command == "apply") CheckHereOrExit(options);
  absl::StatusOr<std::unique_ptr<Interception>> interception =
      Interception::Create(*std::move(ruleset));
  if (!interception.ok()) ExitWithError(kName, interception.status());
  if (command == "apply") {
    if (!(*interception)->zones()) std::fprintf(stderr, "byrnie-redirect: warning: %s\n", kNoZones);
    return Change((*interception)->Apply());
  }
  if (command == "remove") return Change((*interception)->Remove());
  if (command == "watch") return RunWatchCommand(**interception, *on_drift);
  return Check(**interception, command == "check" ? 1 : 0);
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Run(argc, argv); }
