#ifndef BYRNIE_PROXY_FLAGS_H_
#define BYRNIE_PROXY_FLAGS_H_

#include "absl/status/statusor.h"
#include "proxy/proxy_config.h"

namespace byrnie {

// The configuration that the parsed flags say (schema byrnie.config.v1.ProxyConfig).
// InvalidArgument names the flag, what is wrong with it and what it takes. Reads nothing but the
// flags and the CPUs this process may use.
absl::StatusOr<ProxyConfig> ConfigFromFlags();

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLAGS_H_
