#ifndef BYRNIE_DEPLOY_INJECTOR_PULL_SECRETS_H_
#define BYRNIE_DEPLOY_INJECTOR_PULL_SECRETS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "deploy/injector/json.h"

namespace byrnie {

// The member of a pod's spec that this is about.
inline constexpr absl::string_view kPullSecrets = "imagePullSecrets";

// Adds those of `names` to a pod's spec that are not there, and says which, as a list of texts.
Json AddPullSecrets(const std::vector<std::string>& names, Json* spec);

// Takes out again what AddPullSecrets() said it had added.
void RemovePullSecrets(const Json& added, Json* spec);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_PULL_SECRETS_H_
