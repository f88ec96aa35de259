#include "ctl/flags.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/identity/trust_files.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

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
ABSL_FLAG(std::string, federated_bundle, "",
          "verify: bundles of other trust domains, TRUST_DOMAIN=FILE[,...] (PEM)");
ABSL_FLAG(std::string, crl, "", "verify: revocation lists, [TRUST_DOMAIN=]FILE[,...] (PEM or DER)");
ABSL_FLAG(absl::Time, at, absl::InfinitePast(),
          "verify: the time to judge by, such as 2026-01-31T12:00:00Z; not given: now");

namespace byrnie {
namespace {

constexpr size_t kMaxBundleFile = 1024 * 1024;
constexpr size_t kMaxTokenFile = 4096;
constexpr char kBundleRemedy[] = "; give the file the control plane wrote with --trust_bundle_out";
constexpr char kTokenRemedy[] = "; give the file the control plane wrote with --operator_token_out";
constexpr absl::Duration kMaxTtl = absl::Hours(24);

absl::Status InFlag(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

// Why a file cannot be read, and what to do about it.
absl::Status Unreadable(absl::string_view flag, const absl::Status& status,
                        absl::string_view remedy) {
  const bool denied = absl::IsPermissionDenied(status);
  return InFlag(flag, absl::StrCat(status.message(), denied ? "; let this user read it" : remedy));
}

absl::StatusOr<CtlConfig::Command> ParseCommand(const std::vector<std::string>& arguments) {
  if (arguments == std::vector<std::string>{"token", "create"}) {
    return CtlConfig::Command::kCreateToken;
  }
  if (arguments == std::vector<std::string>{"status"}) return CtlConfig::Command::kShowStatus;
  if (arguments.size() > 1 && arguments.front() == "verify") return CtlConfig::Command::kVerify;
  return absl::InvalidArgumentError(absl::StrCat(
      arguments.empty() ? "no command"
                        : absl::StrCat("unknown command \"", absl::StrJoin(arguments, " "), "\""),
      "; give \"token create\", \"status\" or \"verify FILE...\", see --help"));
}

absl::Status CheckAddress(const std::string& target) {
  const size_t colon = target.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(target.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return InFlag("control_plane", absl::StrCat("\"", target, "\" is not HOST:PORT"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadTrustBundle(const std::string& trust_domain, absl::Time now) {
  const std::string path = absl::GetFlag(FLAGS_trust_bundle);
  if (path.empty()) {
    return InFlag("trust_bundle", absl::StrCat("is missing", kBundleRemedy));
  }
  absl::StatusOr<std::string> pem = ReadFile(path, kMaxBundleFile);
  if (!pem.ok()) return Unreadable("trust_bundle", pem.status(), kBundleRemedy);
  absl::StatusOr<TrustBundleSet> bundle = TrustBundleSet::FromPem(trust_domain, *pem);
  if (!bundle.ok()) {
    return InFlag("trust_bundle",
                  absl::StrCat(path, ": ", bundle.status().message(), kBundleRemedy));
  }
  absl::Time latest = absl::InfinitePast();
  for (const CertificatePtr& root : bundle->Find(trust_domain)->roots) {
    latest = std::max(latest, root->not_after());
  }
  if (latest <= now) {
    return InFlag("trust_bundle",
                  absl::StrCat(path, " expired at ",
                               absl::FormatTime(absl::RFC3339_sec, latest, absl::UTCTimeZone()),
                               "; get the present one from the control plane"));
  }
  return pem;
}

absl::StatusOr<SecretBytes> ReadToken() {
  const std::string path = absl::GetFlag(FLAGS_token);
  if (path.empty()) {
    return InFlag("token", absl::StrCat("is missing", kTokenRemedy));
  }
  absl::StatusOr<SecretBytes> file = ReadSecretFile(path, kMaxTokenFile);
  if (!file.ok()) return Unreadable("token", file.status(), kTokenRemedy);
  const absl::string_view token = absl::StripAsciiWhitespace(file->view());
  if (token.empty()) {
    return InFlag("token", absl::StrCat("the file \"", path, "\" is empty", kTokenRemedy));
  }
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(token.data()), token.size()));
}

absl::Status ReadVerification(const std::vector<std::string>& arguments, absl::Time now,
                              CtlConfig* config) {
  config->chains.assign(arguments.begin() + 1, arguments.end());
  config->at = absl::GetFlag(FLAGS_at) == absl::InfinitePast() ? now : absl::GetFlag(FLAGS_at);
  absl::StatusOr<std::vector<TrustFiles::File>> federated =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_federated_bundle), "");
  if (!federated.ok()) return InFlag("federated_bundle", federated.status().message());
  absl::StatusOr<std::vector<TrustFiles::File>> crls =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_crl), config->trust_domain);
  if (!crls.ok()) return InFlag("crl", crls.status().message());
  absl::StatusOr<std::string> pem = ReadTrustBundle(config->trust_domain, config->at);
  RETURN_IF_ERROR(pem.status());
  ASSIGN_OR_RETURN(TrustBundleSet own, TrustBundleSet::FromPem(config->trust_domain, *pem));
  Logger log(STDERR_FILENO, Logger::Format::kText, LogLevel::kError);
  MetricRegistry metrics;
  ASSIGN_OR_RETURN(
      std::unique_ptr<TrustFiles> files,
      TrustFiles::Create({*std::move(federated), *std::move(crls), "byrniectl"}, &log, &metrics));
  ASSIGN_OR_RETURN(config->bundles, files->AddTo(own));
  return absl::OkStatus();
}

absl::Status ReadTokenRequest(CtlConfig* config) {
  config->identity = absl::GetFlag(FLAGS_identity);
  if (config->identity.empty()) {
    return InFlag("identity", "is missing; give the SPIFFE ID the token is for");
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(config->identity);
  if (!id.ok()) return InFlag("identity", id.status().message());
  if (id->trust_domain() != config->trust_domain) {
    return InFlag("identity", absl::StrCat(id->text(), " is not of trust domain ",
                                           config->trust_domain, "; see --trust_domain"));
  }
  config->ttl = absl::GetFlag(FLAGS_ttl);
  if (config->ttl <= absl::ZeroDuration() || config->ttl > kMaxTtl) {
    return InFlag("ttl", absl::StrCat(absl::FormatDuration(config->ttl),
                                      " is not more than 0 and at most 24h"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CtlConfig> CtlConfigFromFlags(const std::vector<std::string>& arguments,
                                             absl::Time now) {
  CtlConfig config;
  ASSIGN_OR_RETURN(config.command, ParseCommand(arguments));
  config.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  absl::Status trust_domain = SpiffeId::CheckTrustDomain(config.trust_domain);
  if (!trust_domain.ok()) return InFlag("trust_domain", trust_domain.message());
  if (config.command == CtlConfig::Command::kVerify) {
    RETURN_IF_ERROR(ReadVerification(arguments, now, &config));
    return config;
  }
  if (config.command == CtlConfig::Command::kCreateToken) {
    RETURN_IF_ERROR(ReadTokenRequest(&config));
  }
  const std::string output = absl::GetFlag(FLAGS_output);
  if (output != "text" && output != "json") {
    return InFlag("output", absl::StrCat("\"", output, "\" is neither text nor json"));
  }
  config.json = output == "json";
  config.control_plane = absl::GetFlag(FLAGS_control_plane);
  RETURN_IF_ERROR(CheckAddress(config.control_plane));
  ASSIGN_OR_RETURN(config.trust_bundle_pem, ReadTrustBundle(config.trust_domain, now));
  ASSIGN_OR_RETURN(config.token, ReadToken());
  const absl::optional<mode_t> loose = LooseMode(absl::GetFlag(FLAGS_token));
  if (loose.has_value()) {
    config.warning = absl::StrFormat(
        "--token: others may read %s (mode %04o) and do what an operator may; chmod 600 %s",
        absl::GetFlag(FLAGS_token), *loose, absl::GetFlag(FLAGS_token));
  }
  return config;
}

}  // namespace byrnie
