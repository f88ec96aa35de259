#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "deploy/injector/yaml_reader.h"
#include "deploy/injector/yaml_scalar.h"

namespace byrnie {
namespace {

absl::Status AtLine(const YamlNode& node, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", node.line + 1, ": ", what));
}

// Of one map, which may have a hundred thousand.
using Keys = absl::flat_hash_set<std::string>;

// A member of a name that is not there yet, which operator[] would look for among all.
void Add(std::string name, Json value, Json* object) {
  object->get_ref<Json::object_t&>().push_back({std::move(name), std::move(value)});
}

bool IsMergeKey(const YamlNode& key) { return !key.quoted && key.text == "<<"; }

// What a merge key brings: of a map, or of several, of which the first says it.
absl::Status Merge(const YamlNode& node, Keys* keys, Json* object) {
  if (node.kind == YamlNode::Kind::kSequence) {
    for (const YamlNode& map : node.children) {
      if (map.kind != YamlNode::Kind::kMap) return AtLine(node, "<< merges maps alone");
      RETURN_IF_ERROR(Merge(map, keys, object));
    }
    return absl::OkStatus();
  }
  if (node.kind != YamlNode::Kind::kMap) return AtLine(node, "<< merges maps alone");
  ASSIGN_OR_RETURN(const Json map, YamlToJson(node));
  for (const auto& [name, value] : map.get_ref<const Json::object_t&>()) {
    if (keys->insert(name).second) Add(name, value, object);
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> MapToJson(const YamlNode& node) {
  Json object = Json::object();
  Keys keys;
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    const YamlNode& key = node.children[i];
    if (key.kind != YamlNode::Kind::kScalar) return AtLine(key, "a key is no scalar");
    if (IsMergeKey(key)) continue;
    if (!keys.insert(key.text).second) {
      return AtLine(key, absl::StrCat("the key \"", key.text, "\" appears twice in one map"));
    }
    ASSIGN_OR_RETURN(Json value, YamlToJson(node.children[i + 1]));
    Add(key.text, std::move(value), &object);
  }
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    if (IsMergeKey(node.children[i])) RETURN_IF_ERROR(Merge(node.children[i + 1], &keys, &object));
  }
  return object;
}

}  // namespace

absl::StatusOr<Json> YamlToJson(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kScalar:
      return node.quoted ? Json(node.text) : ResolveYamlScalar(node.text);
    case YamlNode::Kind::kSequence: {
      Json array = Json::array();
      for (const YamlNode& child : node.children) {
        ASSIGN_OR_RETURN(Json element, YamlToJson(child));
        array.push_back(std::move(element));
      }
      return array;
    }
    case YamlNode::Kind::kMap:
      return MapToJson(node);
  }
  return AtLine(node, "not understood");
}

}  // namespace byrnie
