#ifndef BYRNIE_DEPLOY_INJECTOR_POD_DNS_H_
#define BYRNIE_DEPLOY_INJECTOR_POD_DNS_H_

#include <string>

#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"

namespace byrnie {

// A warning where the agent of a pod with this `spec` may not find the control plane, because the
// pod does not ask the cluster's nameservers; "" where it does, or need not.
std::string DnsWarning(const InjectorConfig& config, const Json& spec);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_POD_DNS_H_
