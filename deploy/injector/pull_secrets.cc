#include "deploy/injector/pull_secrets.h"

#include <algorithm>
#include <set>
#include <string>

namespace byrnie {

Json AddPullSecrets(const std::vector<std::string>& names, Json* spec) {
  Json added = Json::array();
  for (const std::string& name : names) {
    const Json::array_t& there = ItemsOf(*spec, kPullSecrets);
    if (std::any_of(there.begin(), there.end(),
                    [&name](const Json& secret) { return TextOf(secret, "name") == name; })) {
      continue;
    }
    Json secret = Json::object();
    secret["name"] = name;
    ArrayIn(spec, kPullSecrets)->push_back(std::move(secret));
    added.push_back(name);
  }
  return added;
}

void RemovePullSecrets(const Json& added, Json* spec) {
  Json* const list = Find(spec, kPullSecrets);
  if (!added.is_array() || list == nullptr || !list->is_array()) return;
  auto& secrets = list->get_ref<Json::array_t&>();
  // Both are the pod's, and as long as it likes.
  std::set<std::string> names;
  for (const Json& name : added) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  const auto is_added = [&names](const Json& secret) {
    return names.count(TextOf(secret, "name")) > 0;
  };
  const auto kept = std::remove_if(secrets.begin(), secrets.end(), is_added);
  if (kept == secrets.end()) return;
  secrets.erase(kept, secrets.end());
  if (secrets.empty()) Remove(spec, kPullSecrets);
}

}  // namespace byrnie
