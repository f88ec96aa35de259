#include "ctl/flags.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/trust_bundle.h"
#include "common/identity/trust_files.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "ctl/client_identity.h"
#include "ctl/named_file.h"

ABSL_FLAG(
    std::string, control_plane, "127.0.0.1:15012",
    "the control plane's gRPC port, HOST:PORT; of several that share a store HOST:PORT,...: "
    "all are asked what each knows for itself (status, check, agents, certs, identity, workloads "
    "list, events, flows, policy diff and suggest), the first that can be reached for the rest; or "
    "BYRNIE_CONTROL_PLANE");
ABSL_FLAG(std::string, trust_bundle, "",
          "file with the trust bundle (PEM), as the control plane writes it with "
          "--trust_bundle_out; or BYRNIE_TRUST_BUNDLE");
ABSL_FLAG(std::string, trust_domain, "cluster.local",
          "the control plane's trust domain; or BYRNIE_TRUST_DOMAIN");
ABSL_FLAG(std::string, token, "",
          "file with an operator's token, as the control plane writes one with "
          "--operator_token_out; or BYRNIE_TOKEN");
ABSL_FLAG(
    std::string, cert, "",
    "instead of a token: file with a certificate chain (PEM), leaf first, of an identity that "
    "the control plane has in --operators; with --key; or BYRNIE_CERT");
ABSL_FLAG(std::string, key, "",
          "file with the private key of that certificate (PEM, PKCS#8); or BYRNIE_KEY");
ABSL_FLAG(std::string, output, "text", "text, for people, or json, for scripts; -o for short");
ABSL_FLAG(std::string, identity, "",
          "a join token for this SPIFFE ID, such as spiffe://cluster.local/ns/default/sa/app");
ABSL_FLAG(std::string, operator, "", "a token for an operator of this name, with --role");
ABSL_FLAG(std::string, role, "", "what the operator may do: viewer, operator or admin");
ABSL_FLAG(bool, join, false,
          "join tokens that may still be used, by id, instead of operators' tokens");
ABSL_FLAG(absl::Duration, ttl, absl::ZeroDuration(),
          "how long the token may be used, such as 36h; 0: 10 minutes for a join token, which may "
          "have 24h, 30 days (720h) for an operator's, which may have 366 (8784h)");
ABSL_FLAG(std::string, file, "",
          "file with workloads and services, JSON; \"-\" is stdin; -f for short");
ABSL_FLAG(
    std::string, expect, "",
    "only if it is of this version now (see -o json of the get commands); \"none\": if there is "
    "none");
ABSL_FLAG(bool, accept, false, "apply it in spite of warnings");
ABSL_FLAG(std::string, namespace, "", "only of this namespace");
ABSL_FLAG(bool, follow, false, "go on with what happens from now on, until interrupted");
ABSL_FLAG(std::string, cursor, "", "begin after the event with this cursor (see -o json)");
ABSL_FLAG(std::string, kinds, "",
          "only events of these kinds, such as policy_changed,agent_disconnected");
ABSL_FLAG(bool, probe, false,
          "run inside the source's pod: also connect, and see what the source's proxy makes of it; "
          "sends no byte");
ABSL_FLAG(
    std::string, source_admin, "",
    "where the admin port (15000) of the source's proxy is reached, IP:PORT, as through kubectl "
    "port-forward; with --probe it is 127.0.0.1:15000 unless told otherwise");
ABSL_FLAG(std::string, destination_admin, "", "the same of the destination's proxy");
ABSL_FLAG(std::string, step, "",
          "only this move: prepare, distribute, activate, taint or revoke; not given: all of them, "
          "each as soon as nothing keeps it back");
ABSL_FLAG(
    std::vector<std::string>, exclude, {},
    "whom this one move is not to wait for, separated by commas, of those that trust status names: "
    "all agents of a SPIFFE ID, or with @IP behind it those at that address; \"unknown\" for "
    "certificates whose holders are not known, \"controlplane:NAME\" for a "
    "control plane that is gone, \"controlplane:NAME/trust_bundle_out\" for its file alone");
ABSL_FLAG(bool, dry_run, false, "only say what it would mean, and who keeps it back");
ABSL_FLAG(bool, wait, false, "end when the rotation is over, and say meanwhile where it stands");
ABSL_FLAG(absl::Duration, timeout, absl::InfiniteDuration(),
          "with --wait, how long at most, such as 30m; the rotation goes on all the same");
ABSL_FLAG(std::string, reason, "", "why, for those who look later");
ABSL_FLAG(std::string, since, "",
          "only what was issued from then on: how long ago, such as 2h, or a time, such as "
          "2026-01-31T12:00:00Z");
ABSL_FLAG(std::string, until, "", "only what was issued before then; as --since");
ABSL_FLAG(std::string, serial, "",
          "only the one with this serial number, hexadecimal, as the list has it");
ABSL_FLAG(bool, accept_unknown, false, "revoke it though the log of issuances does not have it");
ABSL_FLAG(bool, only, false, "revoke this one alone, and nothing that was renewed from it");
ABSL_FLAG(std::string, admin, "127.0.0.1:15000",
          "where the proxy's admin port is reached, IP:PORT");
ABSL_FLAG(std::string, injector_config, "",
          "file with what injected pods are told of their mesh (JSON, see docs/kubernetes.md); "
          "empty: what the manifests of this release have");
ABSL_FLAG(std::string, image, "", "image of the sidecars, instead of the configuration's");
ABSL_FLAG(std::vector<std::string>, image_pull_secret, {},
          "Secrets by which the nodes get the image, NAME[,...], of the control plane and of the "
          "sidecars; each has to be in the control plane's namespace and in all meshed ones; given "
          "empty: none; not given: what is installed");
ABSL_FLAG(std::string, architecture, "",
          "which nodes the image is for, by their label kubernetes.io/arch (amd64, arm64); empty: "
          "what is installed, or what byrniectl itself is made for");
ABSL_FLAG(std::string, memory_limit, "",
          "of the control plane, a quantity like 2Gi, or none; empty: what is installed, or the "
          "manifests'");
ABSL_FLAG(std::string, memory_request, "",
          "of the control plane, a quantity like 1Gi, or none; empty: what is installed, or the "
          "manifests'");
ABSL_FLAG(std::string, cpu_request, "",
          "of the control plane, a quantity like 500m, or none; empty: what is installed, or the "
          "manifests'");
ABSL_FLAG(
    std::string, volume_size, "",
    "of the control plane's store with --overlay=sqlite, a quantity like 5Gi; an installed one "
    "is not changed; empty: what is installed, or the manifests'");
ABSL_FLAG(std::string, storage_class, "",
          "of that volume; empty: what is installed, or the cluster's default");
ABSL_FLAG(std::string, revision, "",
          "the label byrnie.io/rev of the pods, instead of the configuration's");
ABSL_FLAG(std::string, sidecars, "",
          "native (from Kubernetes 1.29) or classic, where a pod does not say, instead of the "
          "configuration's");
ABSL_FLAG(absl::Duration, within, absl::ZeroDuration(), "how long to try, such as 30s");
ABSL_FLAG(
    bool, started, false,
    "of a proxy: whether it could do its job if its redirect were in place, which comes after "
    "it");
ABSL_FLAG(bool, gone, false, "the other way round: until nobody listens there any more");
ABSL_FLAG(std::string, kubeconfig, "",
          "file that says where the Kubernetes API server is, and who asks; empty: KUBECONFIG, "
          "~/.kube/config, or in a pod its service account");
ABSL_FLAG(std::string, context, "", "of the kubeconfig; empty: its current one");
ABSL_FLAG(
    std::string, overlay, "",
    "sqlite, one control plane with its store on a volume, or etcd, three over an etcd of "
    "yours; with --manifests a folder of that directory; empty: what is installed, or sqlite");
ABSL_FLAG(std::string, manifests, "",
          "directory like deploy/kubernetes, instead of the manifests of this release");
ABSL_FLAG(
    std::string, etcd, "",
    "with --overlay=etcd, where the etcd is, https://HOST:PORT,...; empty: what is installed, "
    "or as in the manifests");
ABSL_FLAG(bool, force, false, "take over what somebody else has set another way");
ABSL_FLAG(bool, purge, false,
          "also what cannot be made again: the CA's key and store, policies, the roots in meshed "
          "namespaces, and the namespace if install has made it");
ABSL_FLAG(bool, pre, false,
          "look at the Kubernetes cluster instead, before Byrnie is installed or upgraded there; "
          "needs no control plane");
ABSL_FLAG(std::string, pods, "",
          "admin ports of proxies (15000) and agents (15010) to ask, too, NAME=IP:PORT[,...]");
ABSL_FLAG(std::string, verdict, "", "only connections that were allowed, denied or failed");
ABSL_FLAG(std::string, delete, "", "policies that would be gone, NAMESPACE/NAME[,...]");
ABSL_FLAG(std::string, federated_bundle, "",
          "bundles of other trust domains, TRUST_DOMAIN=FILE[,...] (PEM)");
ABSL_FLAG(std::string, crl, "", "revocation lists, [TRUST_DOMAIN=]FILE[,...] (PEM or DER)");
ABSL_FLAG(absl::Time, at, absl::InfinitePast(),
          "the time to judge by, such as 2026-01-31T12:00:00Z; not given: now");

namespace byrnie {
namespace {

constexpr size_t kMaxBundleFile = 1024 * 1024;
constexpr size_t kMaxTokenFile = 4096;
constexpr char kBundleRemedy[] = "; give the file the control plane wrote with --trust_bundle_out";
constexpr char kTokenRemedy[] = "; give the file the control plane wrote with --operator_token_out";

// Why a file cannot be read, and what to do about it.
absl::Status Unreadable(absl::string_view flag, const absl::Status& status,
                        absl::string_view remedy) {
  const bool denied = absl::IsPermissionDenied(status);
  return InFlag(flag, absl::StrCat(status.message(), denied ? "; let this user read it" : remedy));
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
  absl::StatusOr<std::string> pem = ReadInput(path, kMaxBundleFile);
  if (!pem.ok()) return Unreadable("trust_bundle", pem.status(), kBundleRemedy);
  absl::StatusOr<TrustBundleSet> bundle = TrustBundleSet::FromPem(trust_domain, *pem);
  if (!bundle.ok()) {
    return InFlag("trust_bundle",
                  absl::StrCat(path, ": ", bundle.status().message(), kBundleRemedy));
  }
  const absl::Status current = CheckHasCurrentRoot(bundle->Find(trust_domain)->roots, now);
  if (!current.ok()) {
    return InFlag("trust_bundle", absl::StrCat(path, ": ", current.message(),
                                               "; get the present one from the control plane"));
  }
  return pem;
}

absl::StatusOr<SecretBytes> ReadToken() {
  const std::string path = absl::GetFlag(FLAGS_token);
  if (path.empty()) {
    return InFlag("token", absl::StrCat("is missing", kTokenRemedy));
  }
  absl::StatusOr<SecretBytes> file = ReadSecretInput(path, kMaxTokenFile);
  if (!file.ok()) return Unreadable("token", file.status(), kTokenRemedy);
  const absl::string_view token = absl::StripAsciiWhitespace(file->view());
  if (token.empty()) {
    return InFlag("token", absl::StrCat("the file \"", path, "\" is empty", kTokenRemedy));
  }
  // The library ends the process where it is to send anything else.
  if (!std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return InFlag("token",
                  absl::StrCat("the file \"", path, "\" holds more than one line of visible ASCII",
                               kTokenRemedy));
  }
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(token.data()), token.size()));
}

absl::StatusOr<std::string> ReadTrustDomain() {
  std::string trust_domain = absl::GetFlag(FLAGS_trust_domain);
  const absl::Status valid = SpiffeId::CheckTrustDomain(trust_domain);
  if (!valid.ok()) return InFlag("trust_domain", valid.message());
  return trust_domain;
}

// Whether "operator=bob" begins with the name of a flag.
bool IsFlagName(absl::string_view text) {
  const std::string name = absl::StrReplaceAll(text.substr(0, text.find('=')), {{"-", "_"}});
  return absl::FindCommandLineFlag(name) != nullptr;
}

// BYRNIE_TOKEN of "token".
std::string VariableOf(absl::string_view flag) {
  return absl::StrCat("BYRNIE_", absl::AsciiStrToUpper(flag));
}

}  // namespace

absl::Status InFlag(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

absl::Status ApplyEnvironment() {
  for (const absl::string_view name : kConnectionFlags) {
    const std::string variable = VariableOf(name);
    const char* const value = ::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    std::string error;
    if (!absl::FindCommandLineFlag(name)->ParseFrom(value, &error)) {
      return absl::InvalidArgumentError(absl::StrCat(variable, ": ", error));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> ExpandShortFlags(absl::Span<const char* const> args) {
  std::vector<std::string> expanded;
  bool all_arguments = false;
  for (const absl::string_view arg : args) {
    all_arguments = all_arguments || arg == "--";
    std::string text(arg);
    // "-operator" is a flag of its own, as the parser takes it.
    const bool whole_name = absl::StartsWith(arg, "-") && IsFlagName(arg.substr(1));
    for (const auto& [brief, whole] :
         {std::make_pair("-o", "--output"), std::make_pair("-f", "--file")}) {
      if (all_arguments || whole_name || !absl::StartsWith(arg, brief)) continue;
      const absl::string_view rest = arg.substr(2);
      text = absl::StrCat(whole, rest.empty() || rest.front() == '=' ? "" : "=", rest);
    }
    expanded.push_back(std::move(text));
  }
  return expanded;
}

absl::StatusOr<bool> WantsJson() {
  const std::string output = absl::GetFlag(FLAGS_output);
  if (output == "json") return true;
  if (output == "text") return false;
  return InFlag("output", absl::StrCat("\"", output, "\" is neither text nor json"));
}

absl::StatusOr<ConnectionOptions> ReadConnectionOptions(absl::Time now) {
  ConnectionOptions options;
  ASSIGN_OR_RETURN(options.trust_domain, ReadTrustDomain());
  const std::string targets = absl::GetFlag(FLAGS_control_plane);
  for (const absl::string_view target : absl::StrSplit(targets, ',')) {
    RETURN_IF_ERROR(CheckAddress(std::string(target)));
    // One that is given twice is one.
    if (absl::c_linear_search(options.control_planes, target)) continue;
    options.control_planes.emplace_back(target);
  }
  ASSIGN_OR_RETURN(options.trust_bundle_pem, ReadTrustBundle(options.trust_domain, now));
  const std::string cert = absl::GetFlag(FLAGS_cert), key = absl::GetFlag(FLAGS_key);
  if (absl::GetFlag(FLAGS_token).empty() && !(cert.empty() && key.empty())) {
    ASSIGN_OR_RETURN(options.identity, ReadClientIdentity(cert, key, now));
    return options;
  }
  ASSIGN_OR_RETURN(options.token, ReadToken());
  const absl::optional<mode_t> loose = LooseMode(absl::GetFlag(FLAGS_token));
  if (loose.has_value()) {
    options.warning = absl::StrFormat(
        "--token: others may read %s (mode %04o) and do what an operator may; chmod 600 %s",
        absl::GetFlag(FLAGS_token), *loose, absl::GetFlag(FLAGS_token));
  }
  return options;
}

absl::StatusOr<VerifyOptions> ReadVerifyOptions(absl::Time now) {
  VerifyOptions options;
  ASSIGN_OR_RETURN(const std::string trust_domain, ReadTrustDomain());
  options.at = absl::GetFlag(FLAGS_at) == absl::InfinitePast() ? now : absl::GetFlag(FLAGS_at);
  absl::StatusOr<std::vector<TrustFiles::File>> federated =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_federated_bundle), "");
  if (!federated.ok()) return InFlag("federated_bundle", federated.status().message());
  absl::StatusOr<std::vector<TrustFiles::File>> crls =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_crl), trust_domain);
  if (!crls.ok()) return InFlag("crl", crls.status().message());
  absl::StatusOr<std::string> pem = ReadTrustBundle(trust_domain, options.at);
  RETURN_IF_ERROR(pem.status());
  ASSIGN_OR_RETURN(TrustBundleSet own, TrustBundleSet::FromPem(trust_domain, *pem));
  Logger log(STDERR_FILENO, Logger::Format::kText, LogLevel::kError);
  MetricRegistry metrics;
  ASSIGN_OR_RETURN(
      std::unique_ptr<TrustFiles> files,
      TrustFiles::Create({*std::move(federated), *std::move(crls), "byrniectl"}, &log, &metrics));
  ASSIGN_OR_RETURN(options.bundles, files->AddTo(own));
  return options;
}

}  // namespace byrnie
