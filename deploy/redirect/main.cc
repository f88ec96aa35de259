#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/config/command_line.h"
#include "deploy/redirect/nft_session.h"
#include "deploy/redirect/ruleset.h"

ABSL_FLAG(uint16_t, outbound_port, 15001,
          "port of the proxy that takes what the pod's applications open");
ABSL_FLAG(uint16_t, inbound_port, 15006,
          "port of the proxy that takes what others open towards the pod");
ABSL_FLAG(uint32_t, proxy_uid, 1337,
          "user of the proxy and the agent, whose traffic is not redirected");
ABSL_FLAG(std::vector<std::string>, exclude_inbound_ports, {},
          "ports of the pod that others reach without the proxy, beyond 15008, 15020 and 15021; "
          "comma-separated");
ABSL_FLAG(std::vector<std::string>, exclude_outbound_cidrs, {},
          "networks that applications reach without the proxy, like 10.0.0.0/8,fd00::/8");

namespace byrnie {
namespace {

constexpr char kName[] = "byrnie-redirect";

constexpr ProgramInfo kProgram = {
    kName,
    "Sends a pod's TCP traffic through its proxy, with nftables rules in the network namespace it "
    "is run in.\n"
    "\n"
    "  apply    put the rules in place, whatever was there; one transaction\n"
    "  remove   take them away\n"
    "  check    exit 0 if the rules are in place, else show the difference and exit 1\n"
    "  print    show the rules, change nothing",
    "apply|remove|check|print"};

absl::StatusOr<Ruleset> RulesetFromFlags() {
  RedirectOptions options;
  options.outbound_port = absl::GetFlag(FLAGS_outbound_port);
  options.inbound_port = absl::GetFlag(FLAGS_inbound_port);
  options.proxy_uid = absl::GetFlag(FLAGS_proxy_uid);
  for (const std::string& text : absl::GetFlag(FLAGS_exclude_inbound_ports)) {
    uint32_t port = 0;
    if (!absl::SimpleAtoi(text, &port) || port == 0 || port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--exclude_inbound_ports: \"", text, "\" is no port; give numbers from 1 to 65535"));
    }
    options.exclude_inbound_ports.push_back(static_cast<uint16_t>(port));
  }
  options.exclude_outbound_cidrs = absl::GetFlag(FLAGS_exclude_outbound_cidrs);
  return Ruleset::Create(options);
}

// The exit code of a command that talked to the kernel and failed.
int Failed(const absl::Status& status) {
  std::fprintf(stderr, "byrnie-redirect: error: %s; nothing was changed\n",
               std::string(status.message()).c_str());
  return 1;
}

int Change(NftSession& session, const std::string& commands) {
  absl::StatusOr<std::string> output = session.Run(commands);
  return output.ok() ? 0 : Failed(output.status());
}

int Check(NftSession& session, const Ruleset& ruleset) {
  absl::StatusOr<std::string> live = session.ListTable();
  if (!live.ok()) return Failed(live.status());
  const std::string difference = CompareListings(ruleset.listing(), *live);
  std::fputs(difference.c_str(), stdout);
  return difference.empty() ? 0 : 1;
}

int Run(int argc, char** argv) {
  const std::vector<std::string> arguments = ParseCommandLineOrExit(argc, argv, kProgram);
  const std::string command = arguments.size() == 1 ? arguments[0] : "";
  if (command != "apply" && command != "remove" && command != "check" && command != "print") {
    ExitWithError(kName,
                  absl::InvalidArgumentError(
                      "say what to do with one of apply, remove, check or print; see --help"));
  }
  absl::StatusOr<Ruleset> ruleset = RulesetFromFlags();
  if (!ruleset.ok()) ExitWithError(kName, ruleset.status());
  if (command == "print") {
    std::fputs(ruleset->listing().c_str(), stdout);
    return 0;
  }
  absl::StatusOr<NftSession> session = NftSession::Create();
  if (!session.ok()) ExitWithError(kName, session.status());
  if (command == "apply") return Change(*session, ruleset->ApplyCommands());
  if (command == "remove") return Change(*session, Ruleset::RemoveCommands());
  return Check(*session, *ruleset);
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Run(argc, argv); }
