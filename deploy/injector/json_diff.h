#ifndef BYRNIE_DEPLOY_INJECTOR_JSON_DIFF_H_
#define BYRNIE_DEPLOY_INJECTOR_JSON_DIFF_H_

#include <cstddef>
#include <string>
#include <vector>

#include "deploy/injector/json.h"

namespace byrnie {

// One step of a way from one value to another.
struct JsonEdit {
  enum class Kind { kAdd, kRemove, kReplace };
  Kind kind;
  // Members' names and elements' numbers, from the root.
  std::vector<std::string> path;
  // Of kAdd and kReplace.
  Json value;
};

// The steps from `from` to `to`. Elements of lists are the same where they have the same "name", as
// Kubernetes merges them, or are objects of the same kind and name, or else have the same text.
// Within a list the last elements come first, so
// that paths mean both what they mean in `from` and what they mean when the steps are taken one
// after the other; kAdd puts an element before the one that has its number.
std::vector<JsonEdit> DiffJson(const Json& from, const Json& to);

// Takes one step in `value`, to which the first `depth` names of the path lead. Nothing happens
// where the rest leads nowhere.
void ApplyEdit(const JsonEdit& edit, size_t depth, Json* value);

// As a JSON Patch (RFC 6902).
Json ToJsonPatch(const std::vector<JsonEdit>& edits);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_JSON_DIFF_H_
