#include "deploy/injector/pod_dns.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace byrnie {
namespace {

// Of a Service, in short or with the cluster's domain: nobody else's nameservers have it.
bool IsOfTheCluster(absl::string_view host) {
  return absl::EndsWith(host, ".svc") || absl::StrContains(host, ".svc.");
}

}  // namespace

std::string DnsWarning(const InjectorConfig& config, const Json& spec) {
  const absl::string_view address = config.control_plane,
                          host = address.substr(0, address.rfind(':'));
  if (!IsOfTheCluster(host)) return "";
  const std::string policy = TextOf(spec, "dnsPolicy");
  const absl::string_view remedy =
      "; with the address of that Service in control_plane of the injector's configuration, no "
      "name is asked for";
  if (policy == "Default") {
    return absl::StrCat("its dnsPolicy is Default: the node's nameservers do not know ", host,
                        ", where the agent's certificate comes from, and the pod would not start. "
                        "Write ClusterFirst",
                        remedy);
  }
  if (policy == "None") {
    return absl::StrCat("its dnsPolicy is None: the agent does not find ", host,
                        ", and the pod would not start, unless its nameservers know the cluster's "
                        "names",
                        remedy);
  }
  return "";
}

}  // namespace byrnie
