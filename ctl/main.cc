// byrniectl: what an operator types. Exit codes: 0 done, 1 the control plane said no or is not
// there, 2 wrong usage.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/config/command_line.h"
#include "common/grpc/library_log.h"
#include "ctl/operator_client.h"
#include "ctl/status_text.h"

ABSL_FLAG(std::string, control_plane, "127.0.0.1:15012",
          "the control plane's gRPC port, HOST:PORT");
ABSL_FLAG(
    std::string, trust_bundle, "",
    "file with the trust bundle (PEM), as the control plane writes it with --trust_bundle_out");
ABSL_FLAG(std::string, trust_domain, "cluster.local", "the control plane's trust domain");
ABSL_FLAG(
    std::string, token, "",
    "file with the operator's token, as the control plane writes it with --operator_token_out");
ABSL_FLAG(std::string, identity, "",
          "token create: the SPIFFE ID the token is for, such as "
          "spiffe://cluster.local/ns/default/sa/app");
ABSL_FLAG(absl::Duration, ttl, absl::Minutes(10),
          "token create: how long the token may be used, at most 24h");
ABSL_FLAG(std::string, output, "text", "status: text or json");

namespace byrnie {
namespace {

constexpr char kName[] = "byrniectl";
constexpr size_t kMaxBundleFile = 1024 * 1024;
constexpr size_t kMaxTokenFile = 4096;

absl::StatusOr<std::unique_ptr<OperatorClient>> Connect() {
  const std::string bundle_path = absl::GetFlag(FLAGS_trust_bundle);
  const std::string token_path = absl::GetFlag(FLAGS_token);
  if (bundle_path.empty()) {
    return absl::InvalidArgumentError(
        "--trust_bundle is missing; give the file the control plane wrote with --trust_bundle_out");
  }
  if (token_path.empty()) {
    return absl::InvalidArgumentError(
        "--token is missing; give the file the control plane wrote with --operator_token_out");
  }
  ASSIGN_OR_RETURN(std::string bundle, ReadFile(bundle_path, kMaxBundleFile));
  ASSIGN_OR_RETURN(SecretBytes file, ReadSecretFile(token_path, kMaxTokenFile));
  const absl::string_view token = absl::StripAsciiWhitespace(file.view());
  if (token.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("token file \"", token_path, "\" is empty"));
  }
  return OperatorClient::Create(absl::GetFlag(FLAGS_control_plane),
                                absl::GetFlag(FLAGS_trust_domain), bundle,
                                SecretBytes(absl::MakeConstSpan(
                                    reinterpret_cast<const uint8_t*>(token.data()), token.size())));
}

// What the control plane answered, or that it did not: not a matter of usage.
int Failed(const absl::Status& status) {
  std::fprintf(stderr, "%s: error: %s\n", kName, std::string(status.message()).c_str());
  return 1;
}

int CreateToken(OperatorClient* client) {
  const absl::StatusOr<std::string> token =
      client->CreateJoinToken(absl::GetFlag(FLAGS_identity), absl::GetFlag(FLAGS_ttl));
  if (!token.ok()) return Failed(token.status());
  std::printf("%s\n", token->c_str());
  return 0;
}

int ShowStatus(OperatorClient* client) {
  const auto status = client->GetStatus();
  if (!status.ok()) return Failed(status.status());
  const std::string text =
      absl::GetFlag(FLAGS_output) == "json"
          ? StatusJson(*status)
          : StatusText(*status, absl::GetFlag(FLAGS_control_plane), SystemClock().WallNow());
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int Run(int argc, char** argv) {
  const std::vector<std::string> command = ParseCommandLineOrExit(
      argc, argv,
      ProgramInfo{kName,
                  "Talks to the control plane of a Byrnie mesh.\n\n"
                  "  byrniectl token create --identity=SPIFFE_ID [--ttl=10m]\n"
                  "      Makes a one-time join token for a workload's agent and prints it.\n"
                  "  byrniectl status [--output=text|json]\n"
                  "      Shows the control plane and the agents connected to it."});
  const bool create = command == std::vector<std::string>{"token", "create"};
  const bool show = command == std::vector<std::string>{"status"};
  if (!create && !show) {
    ExitWithError(kName, absl::InvalidArgumentError(
                             "give a command: \"token create\" or \"status\"; see --help"));
  }
  if (create && absl::GetFlag(FLAGS_identity).empty()) {
    ExitWithError(kName, absl::InvalidArgumentError(
                             "--identity is missing; give the SPIFFE ID the token is for"));
  }
  const std::string output = absl::GetFlag(FLAGS_output);
  if (output != "text" && output != "json") {
    ExitWithError(kName, absl::InvalidArgumentError(
                             absl::StrCat("--output: \"", output, "\" is neither text nor json")));
  }
  RouteGrpcLog(nullptr);
  absl::StatusOr<std::unique_ptr<OperatorClient>> client = Connect();
  if (!client.ok()) ExitWithError(kName, client.status());
  return create ? CreateToken(client->get()) : ShowStatus(client->get());
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Run(argc, argv); }
