#ifndef BYRNIE_CONTROLPLANE_CONTROL_PLANE_OPTIONS_H_
#define BYRNIE_CONTROLPLANE_CONTROL_PLANE_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/crypto/key_type.h"
#include "common/identity/trust_files.h"
#include "common/net/socket_address.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/cluster/cluster.h"
#include "controlplane/operator/operator_directory.h"
#include "controlplane/seal/key_seal.h"
#include "controlplane/store/store_location.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {

enum class AttestorKind { kJoinToken, kJwt, kKubernetes };

// What the flags say. A value.
struct ControlPlaneOptions {
  SocketAddress listen;
  SocketAddress admin;
  std::string trust_domain;
  // Host names and IP addresses that the own certificate is for, beside the SPIFFE ID.
  std::vector<std::string> server_names;
  StoreLocation store;
  // No workload certificate lives longer.
  absl::Duration workload_ttl;
  // No JWT-SVID lives longer, and how long a key signs them.
  absl::Duration jwt_svid_ttl = absl::Minutes(5);
  absl::Duration jwt_key_rotation = absl::Hours(24);
  // Workload certificates a second; 0: no limit.
  double issue_rate;
  // Who is asked about credentials, in this order.
  std::vector<AttestorKind> attest = {AttestorKind::kJoinToken};
  // File of the issuers of JWTs; not empty if and only if they are asked about.
  std::string jwt_config_path;
  // To one identity; 0: no limit.
  double identity_issue_rate = 0;
  // Of workloads' certificates.
  KeyTypes key_types = {KeyType::kP256};
  // What this one is called among those that share a store, and how long it issues certificates
  // without that store.
  std::string name;
  absl::Duration issue_without_store;
  // Begins a mesh in the store also where something tells that there was one.
  bool new_mesh = false;
  // How the store keeps private keys, and the files that the keys for that are in; empty: there is
  // none, or it is in no file.
  KeySeal seal;
  std::string store_key_path, store_key_previous_path;
  // Directory of a plugged CA; empty: roots of its own.
  std::string plugged_ca;
  // How long, and how many, issuances are kept in the log.
  IssuanceLog::Options issuance_log;
  // File where issuances wait that the store cannot take; empty: they wait in memory.
  std::string issuance_spool;
  // File of the static registry; empty: the registry is the cluster's, or the operator API's alone.
  std::string registry_path;
  // Whether there is a cluster, what it feeds, and how its API server is found: by a file, or,
  // where that is empty, as a pod finds it.
  bool use_cluster = false;
  Cluster::Options cluster;
  std::string kubeconfig;
  // Where API servers ask for injection; absent: nowhere. Under which names they know that place,
  // how long its certificate lives, and what they are told: by a file, or, where that is empty and
  // for what it does not say, by `injector`.
  absl::optional<SocketAddress> webhook;
  std::vector<std::string> webhook_names;
  absl::Duration webhook_certificate_ttl;
  std::string injector_config_path;
  InjectorConfig injector;
  // Bundles of other trust domains, and revocation lists.
  std::vector<TrustFiles::File> federated_bundles;
  std::vector<TrustFiles::File> crls;
  // The file that the flags are in, beside the command line; empty: none.
  std::string config_path;
  // Where to write the trust bundle, PEM, and the operator's token; empty: nowhere.
  std::string trust_bundle_out;
  std::string operator_token_out;
  // Whose certificates are operators', beside the tokens.
  OperatorIdentities operators;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CONTROL_PLANE_OPTIONS_H_
