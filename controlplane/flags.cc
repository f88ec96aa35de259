#include "controlplane/flags.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "controlplane/store/store_location.h"

ABSL_FLAG(std::string, listen, "0.0.0.0:15012",
          "where agents and operators connect (gRPC over TLS), IP:PORT");
ABSL_FLAG(std::string, admin, "127.0.0.1:15014",
          "where the admin pages and metrics are served (HTTP), IP:PORT");
ABSL_FLAG(std::string, server_names, "",
          "host names and IP addresses the control plane's certificate is to be for, separated by "
          "commas, beside its SPIFFE ID: for agents that know it by one, as Istio's know "
          "istiod.istio-system.svc");
ABSL_FLAG(
    std::string, trust_domain, "cluster.local",
    "the SPIFFE trust domain certificates are issued for; cannot change once the store exists");
ABSL_FLAG(
    std::string, store, "",
    "where the CA, the join tokens and all else is kept: sqlite:PATH, made at the first start, "
    "mode 0600, holds the CA key; or, for several control planes, etcd:URL[,URL...][/PREFIX], "
    "such as etcd:https://10.0.0.1:2379,https://10.0.0.2:2379/byrnie");
ABSL_FLAG(std::string, etcd_ca, "",
          "PEM file of the CA that vouches for the etcd of --store=etcd:https://...");
ABSL_FLAG(std::string, etcd_cert, "",
          "PEM file of the certificate to show to the etcd, where it asks for one");
ABSL_FLAG(std::string, etcd_key, "", "PEM file of the key of --etcd_cert");
ABSL_FLAG(
    std::string, name, "",
    "what this control plane is called among those that share an etcd, each its own name that "
    "stays over a restart; not given: the host's name");
ABSL_FLAG(absl::Duration, issue_without_store, absl::Hours(1),
          "how long certificates are issued while the etcd cannot be reached, 10s to 720h: others "
          "that move to another root wait as long for a control plane that is silent");
ABSL_FLAG(bool, new_mesh, false,
          "for one start over a store that is empty or has lost its roots: begin a new mesh there "
          "although something tells that there was one; no running agent of that one trusts it");
ABSL_FLAG(std::string, store_key, "",
          "seals the private keys in the store: a file with 32 random bytes (raw, hexadecimal or "
          "base64) that only its owner and group may read, or env:NAME; needed with --store=etcd");
ABSL_FLAG(std::string, store_key_previous, "",
          "opens what an earlier --store_key has sealed; it is sealed anew: a file, or env:NAME");
ABSL_FLAG(std::string, ca, "self_signed",
          "what signs certificates: self_signed, roots of its own, kept in the store; or "
          "plugged:DIRECTORY with ca-cert.pem, ca-key.pem, root-cert.pem and, where needed, "
          "cert-chain.pem (re-read when they change)");
ABSL_FLAG(absl::Duration, workload_ttl, absl::Hours(1),
          "the longest life of a workload's certificate, 2s to 720h");
ABSL_FLAG(absl::Duration, jwt_svid_ttl, absl::Minutes(5),
          "the longest life of a JWT-SVID, 1s to 1h");
ABSL_FLAG(absl::Duration, jwt_key_rotation, absl::Hours(24),
          "how long a key signs JWT-SVIDs before the next one does, 10s to 720h");
ABSL_FLAG(
    double, issue_rate, 1000,
    "certificates issued a second at most, and as many JWT-SVIDs; agents beyond are told when to "
    "come back; 0: no limit");
ABSL_FLAG(double, identity_issue_rate, 100,
          "certificates issued a second to one identity at most; 0: no limit");
ABSL_FLAG(std::string, key_types, "p256",
          "the keys that certificates are issued for: p256, p384, rsa (of 2048 to 4096 bits), or "
          "several");
ABSL_FLAG(absl::Duration, issuance_log_age, absl::Hours(24 * 30),
          "how long the log of issued certificates goes back, 1h to 8784h");
ABSL_FLAG(int64_t, issuance_log_size, 1000000,
          "how many issued certificates the log holds at most, 1000 to 100000000");
ABSL_FLAG(
    std::string, issuance_spool, "",
    "where what is issued waits for the log of issued certificates while the store cannot be "
    "written to: a file, made at the first start, from which it gets into the log even if the "
    "process is killed, and without room in which nothing is issued then; or memory. Not given: "
    "/var/lib/byrnie/issuance-spool.db with --store=etcd, memory with --store=sqlite");
ABSL_FLAG(
    std::string, attest, "join_token",
    "how a workload without a certificate may prove who it is, separated by commas: join_token "
    "(made by byrniectl), jwt (of the issuers of --jwt_config), kubernetes (a pod's service "
    "account token, judged by the API server)");
ABSL_FLAG(std::string, jwt_config, "",
          "file of the issuers whose JWTs are taken with --attest=jwt, their keys and whom their "
          "tokens stand for (JSON, re-read with the key sets it names when one changes)");
ABSL_FLAG(std::string, registry, "api",
          "where workloads, services and policies come from, beside the operator API: static:FILE "
          "(JSON, re-read when it changes), or kubernetes (the objects of a cluster, followed at "
          "its API server); api: from nowhere else");
ABSL_FLAG(
    std::string, kubeconfig, "",
    "how the API server of --registry=kubernetes and --attest=kubernetes is found: a file as "
    "kubectl config view --minify --flatten --raw -o json writes it, with a service account's "
    "token; not given: as a pod finds it");
ABSL_FLAG(
    std::string, token_audience, "byrnie",
    "what the service account tokens of --attest=kubernetes must be for, separated by commas: "
    "one of them");
ABSL_FLAG(
    std::string, kubernetes_pod_address, "record",
    "what becomes of a service account token of --attest=kubernetes that does not come from an "
    "address of its pod or of the pod's node: record (it is taken, which the proof and an event "
    "say), require (it is refused), ignore (addresses are not looked at)");
ABSL_FLAG(std::string, cluster_id, "Kubernetes",
          "what the cluster of --registry=kubernetes is called among those of the mesh");
ABSL_FLAG(std::string, cluster_network, "",
          "the network that the cluster's addresses are of; not given: the only one");
ABSL_FLAG(std::string, cluster_domain, "cluster.local",
          "what the DNS names of the cluster's services end with");
ABSL_FLAG(bool, istio_peers, false,
          "whether Istio's CA and this one have a root in common, so that pods of both meshes "
          "trust each other: those of the cluster of --registry=kubernetes that are Istio's are "
          "then spoken to by its mutual TLS, or HBONE; not given: in plaintext");
ABSL_FLAG(std::string, root_namespace, "byrnie-system",
          "the namespace of the cluster of --registry=kubernetes whose policies may be about the "
          "whole mesh (scope GLOBAL): whoever may make AccessPolicies there may decide for all; "
          "it has the trust bundle, too");
ABSL_FLAG(std::string, webhook_listen, "",
          "where API servers ask for sidecars in new pods (HTTPS, POST /inject), IP:PORT, such as "
          "0.0.0.0:15017; not given: nowhere");
ABSL_FLAG(std::string, webhook_names, "byrnie-controlplane.byrnie-system.svc",
          "host names that API servers know --webhook_listen by, separated by commas: its "
          "certificate is for them");
ABSL_FLAG(std::string, webhook_configuration, "byrnie-injector",
          "the MutatingWebhookConfiguration whose caBundle is kept current, with --webhook_listen");
ABSL_FLAG(absl::Duration, webhook_certificate_ttl, absl::Hours(24),
          "the life of the webhook's certificate, 10s to 720h; the next one is there before its "
          "half");
ABSL_FLAG(std::string, injector_config, "",
          "file of the injector's configuration, JSON, for --webhook_listen (re-read when it "
          "changes); what it does not say is the control plane's own");
ABSL_FLAG(
    std::string, trust_bundle_out, "",
    "file to keep the trust bundle in (PEM): what agents and byrniectl take as --trust_bundle; "
    "written at the start and whenever it is not as it should be");
ABSL_FLAG(std::string, federated_bundle, "",
          "bundles of other trust domains, which agents are to trust too: "
          "TRUST_DOMAIN=FILE[,TRUST_DOMAIN=FILE...] (PEM, re-read when a file changes; an emptied "
          "file withdraws its trust domain)");
ABSL_FLAG(std::string, crl, "",
          "certificate revocation lists, given to all agents: [TRUST_DOMAIN=]FILE[,...] (PEM or "
          "DER, re-read when a file changes); where a trust domain has any, a certificate that "
          "none of them vouches for is refused");
ABSL_FLAG(std::string, operator_token_out, "",
          "file to keep the operator's token in (mode 0600, made at the first start): what "
          "byrniectl takes as --token");
ABSL_FLAG(std::string, operator_token_of, "",
          "--name of the one of several control planes over one etcd that keeps "
          "--operator_token_out; the others are given the same flags, make no such file and "
          "replace no token; empty: whoever is given --operator_token_out");
ABSL_FLAG(std::string, operators, "",
          "identities whose certificates are operators', and what they may do: "
          "SPIFFE_ID=viewer|operator|admin[,...]; each includes the ones before");
ABSL_FLAG(std::string, log_level, "info", "error, warning, info or debug");
ABSL_FLAG(std::string, log_format, "json", "json or text");
// Of every program, in common/config.
ABSL_DECLARE_FLAG(std::string, config);

namespace byrnie {
namespace {

constexpr char kDefaultSpool[] = "/var/lib/byrnie/issuance-spool.db";

absl::Status Invalid(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

absl::StatusOr<SocketAddress> ReadAddress(absl::string_view flag, const std::string& text) {
  absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) {
    return Invalid(flag,
                   absl::StrCat("\"", text,
                                "\" is not IP:PORT; give for example 0.0.0.0:15012 or [::]:15012"));
  }
  return address;
}

// Labels of RFC 1123 section 2.1, in lower case.
bool IsHostName(absl::string_view name) {
  if (name.size() > 253) return false;
  for (absl::string_view label : absl::StrSplit(name, '.')) {
    const bool is_sized = !label.empty() && label.size() <= 63;
    if (!is_sized || label.front() == '-' || label.back() == '-') return false;
    for (char c : label) {
      if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-') return false;
    }
  }
  return true;
}

absl::StatusOr<std::vector<std::string>> ReadHostNames(absl::string_view flag,
                                                       const std::string& text) {
  std::vector<std::string> names;
  for (absl::string_view name : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(name);
    if (address.ok()) {
      names.push_back(address->ToString());
      continue;
    }
    // A name that ends in a number is taken for an IP address by clients, and is none.
    const absl::string_view last = name.substr(name.rfind('.') + 1);
    if (!IsHostName(name) || std::all_of(last.begin(), last.end(), absl::ascii_isdigit)) {
      return Invalid(flag, absl::StrCat("\"", name,
                                        "\" is no host name such as ca.example.org, and no IP "
                                        "address; what ends in a number is taken for one"));
    }
    names.emplace_back(name);
  }
  return names;
}

absl::StatusOr<std::vector<AttestorKind>> ReadAttest(absl::string_view text) {
  std::vector<AttestorKind> kinds;
  for (absl::string_view word : absl::StrSplit(text, ',')) {
    word = absl::StripAsciiWhitespace(word);
    if (word != "join_token" && word != "jwt" && word != "kubernetes") {
      return Invalid(
          "attest",
          absl::StrCat("\"", word, "\" is not known; give join_token, jwt, kubernetes or several"));
    }
    const AttestorKind kind = word == "jwt"          ? AttestorKind::kJwt
                              : word == "kubernetes" ? AttestorKind::kKubernetes
                                                     : AttestorKind::kJoinToken;
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) {
      return Invalid("attest", absl::StrCat(word, " is named twice"));
    }
    kinds.push_back(kind);
  }
  return kinds;
}

// The PATH of "PREFIX:PATH".
absl::StatusOr<std::string> ReadPath(absl::string_view flag, absl::string_view text,
                                     absl::string_view prefix) {
  if (text.empty()) {
    return Invalid(flag, absl::StrCat("is missing; give --", flag, "=", prefix, "FILE"));
  }
  absl::string_view path = text;
  if (!absl::ConsumePrefix(&path, prefix) || path.empty()) {
    return Invalid(flag, absl::StrCat("\"", text, "\" is not ", prefix, "FILE"));
  }
  return std::string(path);
}

absl::StatusOr<PodAddressRule> ReadPodAddress(absl::string_view text) {
  if (text == "ignore") return PodAddressRule::kIgnore;
  if (text == "record") return PodAddressRule::kRecord;
  if (text == "require") return PodAddressRule::kRequire;
  return Invalid("kubernetes_pod_address",
                 absl::StrCat("\"", text, "\" is not known; give ignore, record or require"));
}

// Where the registry comes from, and what there is of a cluster. After `attest`.
absl::Status ReadRegistry(ControlPlaneOptions* options) {
  const std::string registry = absl::GetFlag(FLAGS_registry);
  Cluster::Options& cluster = options->cluster;
  cluster.registry = registry == "kubernetes";
  // Empty is no way to say it: what a script has no value for is not to do without its policies.
  if (!cluster.registry && registry != "api") {
    ASSIGN_OR_RETURN(options->registry_path, ReadPath("registry", registry, "static:"));
  }
  cluster.attest = std::find(options->attest.begin(), options->attest.end(),
                             AttestorKind::kKubernetes) != options->attest.end();
  options->use_cluster = cluster.registry || cluster.attest || options->webhook.has_value();
  // The flag may have been lost, and its policies with it.
  if (registry == "api" && options->use_cluster) {
    return Invalid("registry",
                   "is \"api\", which has nothing of the cluster that --attest=kubernetes or "
                   "--webhook_listen is of; give --registry=kubernetes, or static:FILE");
  }
  options->kubeconfig = absl::GetFlag(FLAGS_kubeconfig);
  if (!options->kubeconfig.empty() && !options->use_cluster) {
    return Invalid("kubeconfig",
                   "is of no use without --registry=kubernetes, --attest=kubernetes or "
                   "--webhook_listen");
  }
  const std::string audiences = absl::GetFlag(FLAGS_token_audience);
  for (absl::string_view audience : absl::StrSplit(audiences, ',')) {
    audience = absl::StripAsciiWhitespace(audience);
    if (audience.empty()) {
      return Invalid("token_audience",
                     "has an empty name: a token for everything would be one for us");
    }
    cluster.audiences.emplace_back(audience);
  }
  ASSIGN_OR_RETURN(cluster.pod_address,
                   ReadPodAddress(absl::GetFlag(FLAGS_kubernetes_pod_address)));
  cluster.mesh.trust_domain = options->trust_domain;
  cluster.mesh.cluster_id = absl::GetFlag(FLAGS_cluster_id);
  cluster.mesh.network = absl::GetFlag(FLAGS_cluster_network);
  cluster.mesh.cluster_domain = absl::GetFlag(FLAGS_cluster_domain);
  cluster.mesh.istio_peers = absl::GetFlag(FLAGS_istio_peers);
  if (!IsHostName(cluster.mesh.cluster_domain)) {
    return Invalid("cluster_domain", absl::StrCat("\"", cluster.mesh.cluster_domain,
                                                  "\" is no domain such as cluster.local"));
  }
  cluster.root_namespace = absl::GetFlag(FLAGS_root_namespace);
  if (!IsHostName(cluster.root_namespace)) {
    return Invalid("root_namespace", absl::StrCat("\"", cluster.root_namespace,
                                                  "\" is no namespace such as byrnie-system"));
  }
  for (const auto& [flag, value] : {std::make_pair("cluster_id", &cluster.mesh.cluster_id),
                                    std::make_pair("cluster_network", &cluster.mesh.network)}) {
    if (value->find('/') == std::string::npos) continue;
    return Invalid(flag, absl::StrCat("\"", *value, "\" has a slash"));
  }
  return absl::OkStatus();
}

// Before the cluster's flags, which it needs.
absl::Status ReadWebhook(ControlPlaneOptions* options) {
  const std::string listen = absl::GetFlag(FLAGS_webhook_listen);
  options->injector_config_path = absl::GetFlag(FLAGS_injector_config);
  if (listen.empty()) {
    if (options->injector_config_path.empty()) return absl::OkStatus();
    return Invalid("injector_config", "is of no use without --webhook_listen");
  }
  ASSIGN_OR_RETURN(options->webhook, ReadAddress("webhook_listen", listen));
  ASSIGN_OR_RETURN(options->webhook_names,
                   ReadHostNames("webhook_names", absl::GetFlag(FLAGS_webhook_names)));
  if (options->webhook_names.empty()) {
    return Invalid("webhook_names", "is empty; give the name that API servers connect to");
  }
  options->cluster.webhook_configuration = absl::GetFlag(FLAGS_webhook_configuration);
  if (!IsHostName(options->cluster.webhook_configuration)) {
    return Invalid("webhook_configuration",
                   absl::StrCat("\"", options->cluster.webhook_configuration,
                                "\" is no name of an object such as byrnie-injector"));
  }
  options->webhook_certificate_ttl = absl::GetFlag(FLAGS_webhook_certificate_ttl);
  if (options->webhook_certificate_ttl < absl::Seconds(10) ||
      options->webhook_certificate_ttl > absl::Hours(720)) {
    return Invalid("webhook_certificate_ttl",
                   absl::StrCat(absl::FormatDuration(options->webhook_certificate_ttl),
                                " is out of range; give 10s to 720h"));
  }
  return absl::OkStatus();
}

// What the injector's configuration need not say. After the cluster's flags.
void SetInjector(ControlPlaneOptions* options) {
  options->injector.trust_domain = options->trust_domain;
  options->injector.token_audience = options->cluster.audiences.front();
  options->injector.cluster_id = options->cluster.mesh.cluster_id;
  options->injector.network = options->cluster.mesh.network;
}

absl::StatusOr<std::string> ReadName(std::string name) {
  if (name.empty()) {
    char host[256] = {};
    if (::gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0') {
      return Invalid("name", "is missing, and the host has none; give one");
    }
    name = host;
  }
  const bool fits = name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
                      return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
                    });
  if (fits) return name;
  return Invalid("name", absl::StrCat("\"", name, "\" has more than letters, digits, -, _ and ."));
}

absl::StatusOr<std::shared_ptr<const SealingKey>> ReadKey(absl::string_view flag,
                                                          const std::string& source) {
  absl::StatusOr<std::shared_ptr<const SealingKey>> key = ReadSealingKey(source);
  if (!key.ok()) {
    return absl::Status(key.status().code(),
                        absl::StrCat("--", flag, ": ", key.status().message()));
  }
  return key;
}

// Empty where the key is in no file.
std::string PathOfKey(const std::string& source) {
  return absl::StartsWith(source, "env:") ? "" : source;
}

absl::Status ReadKeysAndCa(ControlPlaneOptions* options) {
  ASSIGN_OR_RETURN(std::shared_ptr<const SealingKey> key,
                   ReadKey("store_key", absl::GetFlag(FLAGS_store_key)));
  ASSIGN_OR_RETURN(std::shared_ptr<const SealingKey> previous,
                   ReadKey("store_key_previous", absl::GetFlag(FLAGS_store_key_previous)));
  if (key == nullptr && previous != nullptr) {
    return Invalid("store_key_previous", "is of use only together with --store_key");
  }
  if (key == nullptr && options->store.etcd.has_value()) {
    return Invalid("store_key",
                   "is missing, with --store=etcd:...: private keys go into an etcd sealed alone; "
                   "make a key (openssl rand -base64 32, in a file of mode 0600) and give it to "
                   "every control plane of this etcd");
  }
  options->seal = KeySeal(std::move(key), std::move(previous));
  options->store_key_path = PathOfKey(absl::GetFlag(FLAGS_store_key));
  options->store_key_previous_path = PathOfKey(absl::GetFlag(FLAGS_store_key_previous));

  const std::string ca = absl::GetFlag(FLAGS_ca);
  absl::string_view directory = ca;
  if (absl::ConsumePrefix(&directory, "plugged:") && !directory.empty()) {
    options->plugged_ca = std::string(directory);
  } else if (ca != "self_signed") {
    return Invalid("ca", absl::StrCat("\"", ca, "\" is neither self_signed nor plugged:DIRECTORY"));
  }
  options->identity_issue_rate = absl::GetFlag(FLAGS_identity_issue_rate);
  if (!(options->identity_issue_rate >= 0) || options->identity_issue_rate > 1e6) {
    return Invalid("identity_issue_rate", absl::StrCat(options->identity_issue_rate,
                                                       " is out of range; give 0 to 1000000"));
  }
  absl::StatusOr<KeyTypes> key_types = ParseKeyTypes(absl::GetFlag(FLAGS_key_types));
  if (!key_types.ok()) return Invalid("key_types", key_types.status().message());
  options->key_types = *std::move(key_types);
  options->issuance_log.keep_for = absl::GetFlag(FLAGS_issuance_log_age);
  if (options->issuance_log.keep_for < absl::Hours(1) ||
      options->issuance_log.keep_for > absl::Hours(8784)) {
    return Invalid("issuance_log_age",
                   absl::StrCat(absl::FormatDuration(options->issuance_log.keep_for),
                                " is out of range; give 1h to 8784h"));
  }
  options->issuance_log.keep_most = absl::GetFlag(FLAGS_issuance_log_size);
  if (options->issuance_log.keep_most < 1000 || options->issuance_log.keep_most > 100000000) {
    return Invalid("issuance_log_size", absl::StrCat(options->issuance_log.keep_most,
                                                     " is out of range; give 1000 to 100000000"));
  }
  options->issuance_spool = absl::GetFlag(FLAGS_issuance_spool);
  if (options->issuance_spool.empty() && options->store.etcd.has_value()) {
    options->issuance_spool = kDefaultSpool;
  }
  if (options->issuance_spool == "memory") options->issuance_spool.clear();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ControlPlaneFlags> ReadControlPlaneFlags() {
  ControlPlaneFlags flags;
  ControlPlaneOptions& options = flags.options;
  ASSIGN_OR_RETURN(options.listen, ReadAddress("listen", absl::GetFlag(FLAGS_listen)));
  ASSIGN_OR_RETURN(options.admin, ReadAddress("admin", absl::GetFlag(FLAGS_admin)));
  options.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  const absl::Status domain = SpiffeId::CheckTrustDomain(options.trust_domain);
  if (!domain.ok()) return Invalid("trust_domain", domain.message());
  ASSIGN_OR_RETURN(options.server_names,
                   ReadHostNames("server_names", absl::GetFlag(FLAGS_server_names)));
  ASSIGN_OR_RETURN(
      options.store,
      ParseStoreLocation(absl::GetFlag(FLAGS_store), absl::GetFlag(FLAGS_etcd_ca),
                         absl::GetFlag(FLAGS_etcd_cert), absl::GetFlag(FLAGS_etcd_key)));
  RETURN_IF_ERROR(ReadKeysAndCa(&options));
  ASSIGN_OR_RETURN(options.name, ReadName(absl::GetFlag(FLAGS_name)));
  options.issue_without_store = absl::GetFlag(FLAGS_issue_without_store);
  if (options.issue_without_store < absl::Seconds(10) ||
      options.issue_without_store > absl::Hours(720)) {
    return Invalid("issue_without_store",
                   absl::StrCat(absl::FormatDuration(options.issue_without_store),
                                " is out of range; give 10s to 720h"));
  }
  options.new_mesh = absl::GetFlag(FLAGS_new_mesh);
  options.workload_ttl = absl::GetFlag(FLAGS_workload_ttl);
  if (options.workload_ttl < absl::Seconds(2) || options.workload_ttl > absl::Hours(720)) {
    return Invalid("workload_ttl", absl::StrCat(absl::FormatDuration(options.workload_ttl),
                                                " is out of range; give 2s to 720h"));
  }
  options.jwt_svid_ttl = absl::GetFlag(FLAGS_jwt_svid_ttl);
  if (options.jwt_svid_ttl < absl::Seconds(1) || options.jwt_svid_ttl > absl::Hours(1)) {
    return Invalid("jwt_svid_ttl", absl::StrCat(absl::FormatDuration(options.jwt_svid_ttl),
                                                " is out of range; give 1s to 1h"));
  }
  options.jwt_key_rotation = absl::GetFlag(FLAGS_jwt_key_rotation);
  if (options.jwt_key_rotation < absl::Seconds(10) || options.jwt_key_rotation > absl::Hours(720)) {
    return Invalid("jwt_key_rotation", absl::StrCat(absl::FormatDuration(options.jwt_key_rotation),
                                                    " is out of range; give 10s to 720h"));
  }
  options.issue_rate = absl::GetFlag(FLAGS_issue_rate);
  if (!(options.issue_rate >= 0) || options.issue_rate > 1e6) {
    return Invalid("issue_rate",
                   absl::StrCat(options.issue_rate, " is out of range; give 0 to 1000000"));
  }
  ASSIGN_OR_RETURN(options.attest, ReadAttest(absl::GetFlag(FLAGS_attest)));
  options.jwt_config_path = absl::GetFlag(FLAGS_jwt_config);
  const bool takes_jwts = std::find(options.attest.begin(), options.attest.end(),
                                    AttestorKind::kJwt) != options.attest.end();
  if (takes_jwts && options.jwt_config_path.empty()) {
    return Invalid("jwt_config", "is missing, with --attest=jwt; give the file of the issuers");
  }
  if (!takes_jwts && !options.jwt_config_path.empty()) {
    return Invalid("jwt_config",
                   "is of no use without --attest=jwt; give for example "
                   "--attest=join_token,jwt");
  }
  RETURN_IF_ERROR(ReadWebhook(&options));
  RETURN_IF_ERROR(ReadRegistry(&options));
  SetInjector(&options);
  absl::StatusOr<std::vector<TrustFiles::File>> federated =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_federated_bundle), "");
  if (!federated.ok()) return Invalid("federated_bundle", federated.status().message());
  options.federated_bundles = *std::move(federated);
  for (const TrustFiles::File& file : options.federated_bundles) {
    if (file.trust_domain == options.trust_domain) {
      return Invalid("federated_bundle",
                     absl::StrCat(file.trust_domain, " is our own; give other trust domains"));
    }
  }
  absl::StatusOr<std::vector<TrustFiles::File>> crls =
      TrustFiles::ParseFlag(absl::GetFlag(FLAGS_crl), options.trust_domain);
  if (!crls.ok()) return Invalid("crl", crls.status().message());
  options.crls = *std::move(crls);
  options.config_path = absl::GetFlag(FLAGS_config);
  options.trust_bundle_out = absl::GetFlag(FLAGS_trust_bundle_out);
  const std::string token_of = absl::GetFlag(FLAGS_operator_token_of);
  if (token_of.empty() || token_of == options.name) {
    options.operator_token_out = absl::GetFlag(FLAGS_operator_token_out);
  }

  absl::StatusOr<OperatorIdentities> operators =
      ParseOperatorIdentities(absl::GetFlag(FLAGS_operators), options.trust_domain);
  if (!operators.ok()) return Invalid("operators", operators.status().message());
  options.operators = *std::move(operators);

  absl::StatusOr<LogLevel> level = ParseLogLevel(absl::GetFlag(FLAGS_log_level));
  if (!level.ok()) return Invalid("log_level", level.status().message());
  flags.log_level = *level;
  const std::string format = absl::GetFlag(FLAGS_log_format);
  if (format != "json" && format != "text") {
    return Invalid("log_format", absl::StrCat("\"", format, "\" is neither json nor text"));
  }
  flags.log_format = format == "json" ? Logger::Format::kJson : Logger::Format::kText;
  return flags;
}

}  // namespace byrnie
