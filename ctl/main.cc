// byrniectl: what an operator types. Exit codes: 0 done, 1 the control plane said no or is not
// there, or a certificate is not good, 2 wrong usage.

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/config/command_line.h"
#include "common/grpc/library_log.h"
#include "ctl/flags.h"
#include "ctl/operator_client.h"
#include "ctl/status_text.h"
#include "ctl/verify_chains.h"

namespace byrnie {
namespace {

constexpr char kName[] = "byrniectl";

// What the control plane answered, or that it did not: not a matter of usage.
int Failed(const absl::Status& status) {
  std::fprintf(stderr, "%s: error: %s\n", kName, std::string(status.message()).c_str());
  return 1;
}

int CreateToken(OperatorClient* client, const CtlConfig& config) {
  const absl::StatusOr<std::string> token = client->CreateJoinToken(config.identity, config.ttl);
  if (!token.ok()) return Failed(token.status());
  std::printf("%s\n", token->c_str());
  return 0;
}

int ShowStatus(OperatorClient* client, const CtlConfig& config, absl::Time now) {
  const auto status = client->GetStatus();
  if (!status.ok()) return Failed(status.status());
  const std::string text =
      config.json ? StatusJson(*status) : StatusText(*status, config.control_plane, now);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int Verify(const CtlConfig& config) {
  constexpr size_t kMaxChainFile = 1024 * 1024;
  bool all_good = true;
  for (const std::string& path : config.chains) {
    const absl::StatusOr<std::string> pem = ReadFile(path, kMaxChainFile);
    if (!pem.ok()) return Failed(pem.status());
    bool good = false;
    const std::string text = VerifyChainText(*pem, config.bundles, config.at, &good);
    std::printf("%s: %s\n", path.c_str(), text.c_str());
    all_good = all_good && good;
  }
  return all_good ? 0 : 1;
}

int Run(int argc, char** argv) {
  const std::vector<std::string> arguments = ParseCommandLineOrExit(
      argc, argv,
      ProgramInfo{kName,
                  "Talks to the control plane of a Byrnie mesh.\n\n"
                  "  byrniectl token create --identity=SPIFFE_ID [--ttl=10m]\n"
                  "      Makes a one-time join token for a workload's agent and prints it.\n"
                  "  byrniectl status [--output=text|json]\n"
                  "      Shows the control plane and the agents connected to it.\n"
                  "  byrniectl verify --trust_bundle=FILE [--federated_bundle=...] [--crl=...] "
                  "[--at=TIME] CHAIN...\n"
                  "      Says what the mesh would make of certificates, without talking to it."});
  const absl::Time now = SystemClock().WallNow();
  absl::StatusOr<CtlConfig> config = CtlConfigFromFlags(arguments, now);
  if (!config.ok()) ExitWithError(kName, config.status());
  if (!config->warning.empty()) {
    std::fprintf(stderr, "%s: warning: %s\n", kName, config->warning.c_str());
  }
  if (config->command == CtlConfig::Command::kVerify) return Verify(*config);
  RouteGrpcLog(nullptr);
  absl::StatusOr<std::unique_ptr<OperatorClient>> client =
      OperatorClient::Create(config->control_plane, config->trust_domain, config->trust_bundle_pem,
                             std::move(config->token));
  if (!client.ok()) ExitWithError(kName, client.status());
  return config->command == CtlConfig::Command::kCreateToken
             ? CreateToken(client->get(), *config)
             : ShowStatus(client->get(), *config, now);
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) { return byrnie::Run(argc, argv); }
