#ifndef BYRNIE_CONTROLPLANE_REGISTRY_POLICY_NAMES_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_POLICY_NAMES_H_

namespace byrnie {

// What the members of a policy in JSON are called where its texts differ: the same policy is
// written by operators, in files as elsewhere in Byrnie, and in a cluster, as elsewhere there.
struct PolicyNames {
  const char* dry_run;
  const char* not_namespaces;
  const char* not_principals;
  const char* source_ips;
  const char* not_source_ips;
  const char* destination_ips;
  const char* not_destination_ips;
  const char* destination_ports;
  const char* not_destination_ports;
  const char* service_accounts;
  const char* not_service_accounts;
  const char* service_account;
};

// Of the registry file and of what is applied through the API.
inline constexpr PolicyNames kDocumentPolicyNames = {"dry_run",
                                                     "not_namespaces",
                                                     "not_principals",
                                                     "source_ips",
                                                     "not_source_ips",
                                                     "destination_ips",
                                                     "not_destination_ips",
                                                     "destination_ports",
                                                     "not_destination_ports",
                                                     "service_accounts",
                                                     "not_service_accounts",
                                                     "service_account"};

// Of the "spec" of an object of a cluster.
inline constexpr PolicyNames kObjectPolicyNames = {"dryRun",
                                                   "notNamespaces",
                                                   "notPrincipals",
                                                   "sourceIPs",
                                                   "notSourceIPs",
                                                   "destinationIPs",
                                                   "notDestinationIPs",
                                                   "destinationPorts",
                                                   "notDestinationPorts",
                                                   "serviceAccounts",
                                                   "notServiceAccounts",
                                                   "serviceAccount"};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_POLICY_NAMES_H_
