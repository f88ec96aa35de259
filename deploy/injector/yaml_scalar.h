#ifndef BYRNIE_DEPLOY_INJECTOR_YAML_SCALAR_H_
#define BYRNIE_DEPLOY_INJECTOR_YAML_SCALAR_H_

#include "absl/strings/string_view.h"
#include "deploy/injector/json.h"

namespace byrnie {

// What a scalar without quotes is by the types of YAML 1.1, as kubectl reads them: null, a boolean
// (yes and on too), a number (0644 is octal), or else a string.
Json ResolveYamlScalar(absl::string_view text);

// Whether a string stays that string without quotes, for any reader.
bool IsPlainYamlString(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_YAML_SCALAR_H_
