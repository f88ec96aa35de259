#include "certagent/flags.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "certagent/interface_addresses.h"
#include "certagent/socket_permissions.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/net/host_port.h"

ABSL_FLAG(std::string, control_plane, "",
          "HOST:PORT of the control plane's gRPC port, or several, separated by commas, of control "
          "planes that share a store: one is used until it fails, then the next. Required.");
ABSL_FLAG(std::string, ca, "byrnie",
          "Protocol of the certificate authority: byrnie, or istio (istiod, istio-csr).");
ABSL_FLAG(
    std::string, ca_address, "",
    "HOST:PORT of the certificate authority, or several, separated by commas, of which one is "
    "used at a time; empty: that of the control plane.");
ABSL_FLAG(std::string, ca_roots, "",
          "PEM file with the roots the authority is trusted by; empty: that of --trust_bundle.");
ABSL_FLAG(std::string, ca_server_name, "",
          "Whom the authority's certificate must be for: a DNS name, an IP address or a SPIFFE ID; "
          "empty: with --ca=byrnie the control plane's SPIFFE ID, with --ca=istio the HOST of "
          "--ca_address.");
ABSL_FLAG(std::string, cluster_id, "Kubernetes",
          "Name of this pod's cluster, for an authority of Istio's.");
ABSL_FLAG(std::string, trust_domain, "cluster.local",
          "Trust domain of this pod and of the control plane.");
ABSL_FLAG(std::string, trust_bundle, "",
          "PEM file with the roots the control plane is trusted by. Required.");
ABSL_FLAG(
    std::string, crl, "",
    "Certificate revocation lists beside those of the control plane: [TRUST_DOMAIN=]FILE[,...] "
    "(PEM or DER, re-read when a file changes). Where a trust domain has any, a certificate "
    "that none of them vouches for is refused.");
ABSL_FLAG(std::string, token, "",
          "File with the token that proves who this pod is; read again for each use. Required.");
ABSL_FLAG(
    std::string, token_audience, "",
    "Whom the token must be for: a JSON Web Token for anybody else is not sent; empty: anybody.");
ABSL_FLAG(
    std::string, proof, "svid,token",
    "What to prove who this pod is with, in this order: svid (the present certificate), token; "
    "after a refusal the next one is tried.");
ABSL_FLAG(std::string, spiffe_id, "",
          "SPIFFE ID the certificates must have; empty: that of the first one.");
ABSL_FLAG(std::string, link_socket, "",
          "Unix socket to serve the proxy on; its directory is made where only that is missing. "
          "Required.");
ABSL_FLAG(int32_t, proxy_uid, -1, "Uid the proxy must have; negative: this process's own.");
ABSL_FLAG(
    std::string, workload_api, "",
    "unix:///PATH of the socket to serve the SPIFFE Workload API and Envoy's SDS on, to the "
    "pod's applications; its directory must exist. Empty: off. With it the private key leaves "
    "the agent: whoever may use the socket gets a copy.");
ABSL_FLAG(std::string, workload_api_uids, "",
          "Uids that may use the workload API, separated by commas, or * for every user; empty: "
          "this process's own.");
ABSL_FLAG(std::string, proxy_executable, "",
          "File that the proxy's process must run; takes CAP_SYS_PTRACE. Empty: any file.");
ABSL_FLAG(std::string, admin, "127.0.0.1:15010", "IP:PORT of the admin pages; loopback only.");
ABSL_FLAG(std::string, network, "",
          "Network of the mesh that this pod's addresses belong to; empty: the only one.");
ABSL_FLAG(std::string, workload_addresses, "",
          "Addresses of this pod, separated by commas; empty: the global ones of its interfaces.");
ABSL_FLAG(absl::Duration, min_renewal_interval, absl::Seconds(1),
          "Least time between renewals that POST /renew may ask for; 0: any.");
ABSL_FLAG(absl::Duration, certificate_ttl, absl::ZeroDuration(),
          "Life to ask for, at least 5s; 0: as long as the authority allows.");
ABSL_FLAG(
    std::string, file_sink, "",
    "Directory to keep tls.crt, tls.key and ca.crt in; its parent must exist. The private key "
    "then leaves this process. Empty: no files.");
ABSL_FLAG(std::string, file_sink_owner, "",
          "UID, UID:GID or :GID to give the files to; a GID may read them. Empty: this process's.");
ABSL_FLAG(std::string, file_sink_signal, "",
          "PIDFILE:HUP (or USR1, USR2, WINCH, TERM): a process to signal after each change.");
ABSL_FLAG(std::string, file_sink_command, "",
          "Program with arguments, separated by spaces, to run after each change; no shell, killed "
          "after 10 s.");
ABSL_FLAG(std::string, log_level, "info", "error, warning, info or debug.");
ABSL_FLAG(std::string, log_format, "json", "json or text.");

namespace byrnie {
namespace {

constexpr size_t kMaxBundleSize = 1024 * 1024;
constexpr char kBundleRemedy[] =
    "; give the PEM file the control plane writes with --trust_bundle_out";
constexpr char kCaRootsRemedy[] =
    "; give the PEM file with the roots of the authority's certificate";
constexpr size_t kMaxTokenSize = 16 * 1024;
constexpr char kTokenRemedy[] = "; make one with \"byrniectl token create\"";
constexpr absl::Duration kShortestLife = absl::Seconds(5);

// "--name: message", whatever the code: at start all of it is bad configuration.
absl::Status InFlag(absl::string_view name, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("--", name, ": ", message));
}

absl::Status CheckTarget(absl::string_view flag, absl::string_view target) {
  const absl::Status good = CheckHostPort(target);
  return good.ok() ? good : InFlag(flag, good.message());
}

absl::Status ReadControlPlanes(AgentConfig* config) {
  const std::string targets = absl::GetFlag(FLAGS_control_plane);
  for (absl::string_view target : absl::StrSplit(targets, ',', absl::SkipWhitespace())) {
    target = absl::StripAsciiWhitespace(target);
    RETURN_IF_ERROR(CheckTarget("control_plane", target));
    config->control_planes.emplace_back(target);
  }
  if (config->control_planes.empty()) {
    return InFlag("control_plane", "is not set; give HOST:PORT of the control plane");
  }
  return absl::OkStatus();
}

// Roots of the trust domain from a file, of which one at least has not expired. `remedy`: what to
// say of one that holds none.
absl::StatusOr<TrustBundleSet> ReadRoots(absl::string_view flag, const std::string& path,
                                         absl::string_view remedy, const std::string& trust_domain,
                                         absl::Time now, std::string* pem_out) {
  absl::StatusOr<std::string> pem = ReadFile(path, kMaxBundleSize);
  if (absl::IsPermissionDenied(pem.status())) {
    return InFlag(flag, absl::StrCat(pem.status().message(), "; let uid ", geteuid(), " read it"));
  }
  if (!pem.ok()) return InFlag(flag, absl::StrCat(pem.status().message(), remedy));
  absl::StatusOr<TrustBundleSet> bundle = TrustBundleSet::FromPem(trust_domain, *pem);
  if (!bundle.ok()) {
    return InFlag(flag, absl::StrCat(path, ": ", bundle.status().message(), remedy));
  }
  const absl::Status current = CheckHasCurrentRoot(bundle->Find(trust_domain)->roots, now);
  if (!current.ok()) {
    return InFlag(flag, absl::StrCat(path, ": ", current.message(),
                                     "; get the present one from the control plane"));
  }
  *pem_out = *std::move(pem);
  return bundle;
}

absl::Status ReadTrustBundle(absl::Time now, AgentConfig* config) {
  if (config->trust_bundle_path.empty()) {
    return InFlag("trust_bundle", absl::StrCat("is not set", kBundleRemedy));
  }
  ASSIGN_OR_RETURN(config->trust_bundle,
                   ReadRoots("trust_bundle", config->trust_bundle_path, kBundleRemedy,
                             config->trust_domain, now, &config->trust_bundle_pem));
  return absl::OkStatus();
}

// Who the authority is, where, and what it is trusted by.
absl::Status ReadAuthority(absl::Time now, AgentConfig* config) {
  const std::string protocol = absl::GetFlag(FLAGS_ca);
  if (protocol != "byrnie" && protocol != "istio") {
    return InFlag("ca", absl::StrCat("\"", protocol, "\" is neither byrnie nor istio"));
  }
  config->ca = protocol == "istio" ? AgentConfig::Ca::kIstio : AgentConfig::Ca::kByrnie;
  const std::string addresses = absl::GetFlag(FLAGS_ca_address);
  for (absl::string_view target : absl::StrSplit(addresses, ',', absl::SkipWhitespace())) {
    target = absl::StripAsciiWhitespace(target);
    RETURN_IF_ERROR(CheckTarget("ca_address", target));
    config->ca_addresses.emplace_back(target);
  }
  config->ca_server_name = absl::GetFlag(FLAGS_ca_server_name);
  if (absl::StartsWith(config->ca_server_name, "spiffe://")) {
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(config->ca_server_name);
    if (!id.ok()) return InFlag("ca_server_name", id.status().message());
    if (id->trust_domain() != config->trust_domain) {
      return InFlag("ca_server_name",
                    absl::StrCat(id->text(), " is not of trust domain ", config->trust_domain));
    }
  }
  if (config->ca_server_name.empty() && config->ca == AgentConfig::Ca::kIstio) {
    config->ca_server_name = "*";
  }
  config->cluster_id = absl::GetFlag(FLAGS_cluster_id);
  // It becomes a header.
  if (!std::all_of(config->cluster_id.begin(), config->cluster_id.end(), absl::ascii_isgraph)) {
    return InFlag("cluster_id", "holds something other than visible ASCII");
  }
  config->ca_roots_path = absl::GetFlag(FLAGS_ca_roots);
  if (config->ca_roots_path.empty()) {
    config->ca_roots_path = config->trust_bundle_path;
    config->ca_roots_pem = config->trust_bundle_pem;
    return absl::OkStatus();
  }
  return ReadRoots("ca_roots", config->ca_roots_path, kCaRootsRemedy, config->trust_domain, now,
                   &config->ca_roots_pem)
      .status();
}

absl::Status CheckTokenFile(const std::string& path) {
  if (path.empty()) return InFlag("token", "is not set; give the file that holds the token");
  const absl::StatusOr<SecretBytes> token = ReadSecretFile(path, kMaxTokenSize);
  if (absl::IsPermissionDenied(token.status())) {
    return InFlag("token",
                  absl::StrCat(token.status().message(), "; let uid ", geteuid(), " read it"));
  }
  if (!token.ok()) return InFlag("token", absl::StrCat(token.status().message(), kTokenRemedy));
  if (absl::StripAsciiWhitespace(token->view()).empty()) {
    return InFlag("token", absl::StrCat(path, " is empty", kTokenRemedy));
  }
  return absl::OkStatus();
}

absl::Status CheckSocketPath(absl::string_view flag, const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return InFlag(
        flag, absl::StrCat(path, " is longer than ", sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  }
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : path.substr(0, slash);
  struct stat info;
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return InFlag(flag, absl::StrCat("the directory ", directory,
                                     " does not exist; create it with mode 0700"));
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    return InFlag(flag,
                  absl::StrCat("cannot create a socket in ", directory, ": ", std::strerror(errno),
                               "; let uid ", geteuid(), " write to it"));
  }
  if (lstat(path.c_str(), &info) == 0 && !S_ISSOCK(info.st_mode)) {
    return InFlag(
        flag, absl::StrCat(path, " is there and no socket; remove it or choose another --", flag));
  }
  return absl::OkStatus();
}

absl::Status CheckLinkSocket(const std::string& path) {
  if (path.empty()) return InFlag("link_socket", "is not set; give the path both containers share");
  MakeSocketDirectory(path);
  return CheckSocketPath("link_socket", path);
}

absl::Status ReadWorkloadApi(AgentConfig* config) {
  const std::string text = absl::GetFlag(FLAGS_workload_api);
  const std::string uids = absl::GetFlag(FLAGS_workload_api_uids);
  if (text.empty()) {
    if (uids.empty()) return absl::OkStatus();
    return InFlag("workload_api_uids", "is for --workload_api, which is not set");
  }
  // SPIFFE_Workload_Endpoint.md section 4: a URI without authority, with an absolute path.
  absl::string_view path = text;
  if (!absl::ConsumePrefix(&path, "unix://") || !absl::StartsWith(path, "/")) {
    return InFlag("workload_api", absl::StrCat("\"", text, "\" is not unix:///PATH"));
  }
  config->workload_api_path = std::string(path);
  RETURN_IF_ERROR(CheckSocketPath("workload_api", config->workload_api_path));
  if (config->workload_api_path == config->link_socket) {
    return InFlag("workload_api", "is the link's socket; give it a path of its own");
  }
  config->workload_api_any_uid = uids == "*";
  if (config->workload_api_any_uid) return absl::OkStatus();
  for (absl::string_view part : absl::StrSplit(uids, ',', absl::SkipWhitespace())) {
    uint32_t uid = 0;
    if (!absl::SimpleAtoi(part, &uid) || uid == static_cast<uint32_t>(-1)) {
      return InFlag("workload_api_uids", absl::StrCat("\"", part, "\" is not a uid"));
    }
    config->workload_api_uids.push_back(uid);
  }
  return absl::OkStatus();
}

// A process that hides its memory, as the proxy does, shows its executable to this capability
// alone.
bool MayInspectProcesses() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, data) == 0 &&
         (data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective & CAP_TO_MASK(CAP_SYS_PTRACE)) != 0;
}

absl::Status CheckProxyExecutable(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return InFlag("proxy_executable", absl::StrCat(path, " is no file that is here"));
  }
  if (!MayInspectProcesses()) {
    return InFlag("proxy_executable",
                  "takes CAP_SYS_PTRACE, without which every proxy would be refused");
  }
  return absl::OkStatus();
}

absl::Status ReadFileSinkOwner(const std::string& text, SinkDirectory::Options* directory) {
  if (text.empty()) return absl::OkStatus();
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  uint32_t uid = 0, gid = 0;
  const bool has_gid = parts.size() == 2;
  if (parts.size() > 2 || (parts[0].empty() && !has_gid) ||
      (!parts[0].empty() && !absl::SimpleAtoi(parts[0], &uid)) ||
      (has_gid && !absl::SimpleAtoi(parts[1], &gid))) {
    return InFlag("file_sink_owner", absl::StrCat("\"", text, "\" is not UID, UID:GID or :GID"));
  }
  // chown() takes it for "as it is".
  constexpr uint32_t kNobody = static_cast<uint32_t>(-1);
  if (uid == kNobody || gid == kNobody) {
    return InFlag("file_sink_owner",
                  absl::StrCat(kNobody,
                               " is the kernel's word for no user or group; give another "
                               "number, or leave that part out to keep this process's"));
  }
  if (!parts[0].empty()) directory->owner = uid;
  if (has_gid) directory->group = gid;
  return absl::OkStatus();
}

absl::Status ReadFileSink(AgentConfig* config) {
  const std::string path = absl::GetFlag(FLAGS_file_sink);
  const std::string signal = absl::GetFlag(FLAGS_file_sink_signal);
  const std::string command = absl::GetFlag(FLAGS_file_sink_command);
  if (path.empty()) {
    if (!signal.empty() || !command.empty() || !absl::GetFlag(FLAGS_file_sink_owner).empty()) {
      return InFlag("file_sink", "is not set, but another --file_sink flag is; name a directory");
    }
    return absl::OkStatus();
  }
  if (path.front() != '/') return InFlag("file_sink", absl::StrCat(path, " is no absolute path"));
  FileSink::Options options;
  options.directory.path = path;
  RETURN_IF_ERROR(ReadFileSinkOwner(absl::GetFlag(FLAGS_file_sink_owner), &options.directory));
  if (!signal.empty()) {
    absl::StatusOr<SinkSignal> parsed = ParseSinkSignal(signal);
    if (!parsed.ok()) return InFlag("file_sink_signal", parsed.status().message());
    options.signal = *std::move(parsed);
  }
  options.command = absl::StrSplit(command, ' ', absl::SkipEmpty());
  if (!options.command.empty() && options.command[0].front() != '/') {
    return InFlag("file_sink_command",
                  absl::StrCat(options.command[0], " is no absolute path of a program"));
  }
  config->file_sink = std::move(options);
  return absl::OkStatus();
}

absl::Status ReadWorkloadAddresses(AgentConfig* config) {
  const std::string text = absl::GetFlag(FLAGS_workload_addresses);
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    absl::StatusOr<IpAddress> ip = IpAddress::Parse(absl::StripAsciiWhitespace(part));
    if (!ip.ok()) return InFlag("workload_addresses", ip.status().message());
    config->workload_addresses.push_back(*ip);
  }
  if (!config->workload_addresses.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<IpAddress>> found = GlobalInterfaceAddresses();
  if (!found.ok()) return InFlag("workload_addresses", found.status().message());
  if (found->empty()) {
    return InFlag("workload_addresses", "no interface has a global address; name them");
  }
  config->workload_addresses = *std::move(found);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AgentConfig> AgentConfigFromFlags(absl::Time now) {
  AgentConfig config;
  absl::StatusOr<LogLevel> level = ParseLogLevel(absl::GetFlag(FLAGS_log_level));
  if (!level.ok()) return InFlag("log_level", level.status().message());
  config.log_level = *level;
  const std::string format = absl::GetFlag(FLAGS_log_format);
  if (format != "json" && format != "text") {
    return InFlag("log_format", absl::StrCat("\"", format, "\" is neither json nor text"));
  }
  config.log_format = format == "json" ? Logger::Format::kJson : Logger::Format::kText;

  RETURN_IF_ERROR(ReadControlPlanes(&config));
  config.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  config.network = absl::GetFlag(FLAGS_network);
  absl::Status trust_domain = SpiffeId::CheckTrustDomain(config.trust_domain);
  if (!trust_domain.ok()) return InFlag("trust_domain", trust_domain.message());
  if (!absl::GetFlag(FLAGS_spiffe_id).empty()) {
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(absl::GetFlag(FLAGS_spiffe_id));
    if (!id.ok()) return InFlag("spiffe_id", id.status().message());
    if (id->trust_domain() != config.trust_domain) {
      return InFlag("spiffe_id",
                    absl::StrCat(id->text(), " is not of trust domain ", config.trust_domain));
    }
    config.spiffe_id = *std::move(id);
  }
  config.certificate_ttl = absl::GetFlag(FLAGS_certificate_ttl);
  if (config.certificate_ttl != absl::ZeroDuration() && config.certificate_ttl < kShortestLife) {
    return InFlag("certificate_ttl",
                  absl::StrCat(absl::FormatDuration(config.certificate_ttl), " is under ",
                               absl::FormatDuration(kShortestLife)));
  }
  config.min_renewal_interval = absl::GetFlag(FLAGS_min_renewal_interval);
  if (config.min_renewal_interval < absl::ZeroDuration()) {
    return InFlag("min_renewal_interval", "is negative");
  }
  absl::StatusOr<SocketAddress> admin = SocketAddress::Parse(absl::GetFlag(FLAGS_admin));
  if (!admin.ok()) return InFlag("admin", admin.status().message());
  if (!admin->ip().IsLoopback()) {
    return InFlag("admin", absl::StrCat(admin->ToString(), " is not loopback; use 127.0.0.1:PORT"));
  }
  config.admin = *admin;
  const int32_t uid = absl::GetFlag(FLAGS_proxy_uid);
  config.proxy_uid = uid < 0 ? geteuid() : static_cast<uid_t>(uid);
  config.proxy_executable = absl::GetFlag(FLAGS_proxy_executable);
  RETURN_IF_ERROR(CheckProxyExecutable(config.proxy_executable));

  config.trust_bundle_path = absl::GetFlag(FLAGS_trust_bundle);
  RETURN_IF_ERROR(ReadTrustBundle(now, &config));
  RETURN_IF_ERROR(ReadAuthority(now, &config));
  absl::StatusOr<std::vector<TrustFiles::File>> crls =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_crl), config.trust_domain);
  if (!crls.ok()) return InFlag("crl", crls.status().message());
  config.crls = *std::move(crls);
  config.token_path = absl::GetFlag(FLAGS_token);
  RETURN_IF_ERROR(CheckTokenFile(config.token_path));
  config.token_audience = absl::GetFlag(FLAGS_token_audience);
  absl::StatusOr<std::vector<Proof>> proofs = ParseProofs(absl::GetFlag(FLAGS_proof));
  if (!proofs.ok()) return InFlag("proof", proofs.status().message());
  config.proofs = *std::move(proofs);
  config.link_socket = absl::GetFlag(FLAGS_link_socket);
  RETURN_IF_ERROR(CheckLinkSocket(config.link_socket));
  RETURN_IF_ERROR(ReadWorkloadApi(&config));
  RETURN_IF_ERROR(ReadFileSink(&config));
  RETURN_IF_ERROR(ReadWorkloadAddresses(&config));
  return config;
}

}  // namespace byrnie
