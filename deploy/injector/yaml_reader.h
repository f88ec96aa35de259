#ifndef BYRNIE_DEPLOY_INJECTOR_YAML_READER_H_
#define BYRNIE_DEPLOY_INJECTOR_YAML_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/injector/json.h"

namespace byrnie {

// One node of a YAML text, and where it is.
struct YamlNode {
  enum class Kind { kScalar, kSequence, kMap };
  Kind kind = Kind::kScalar;
  // In [] or {}, as JSON is.
  bool flow = false;
  // It stands here by an alias: its place is that of the anchor.
  bool alias = false;
  // Of a scalar: it is a string, whatever it looks like.
  bool quoted = false;
  std::string text;
  // Of its first character, counted from 0; of a block sequence, of its first dash.
  int line = 0, column = 0;
  // Elements; or keys and values in turn.
  std::vector<YamlNode> children;
};

// The only user of yaml-cpp, whose exceptions end here.
//
// Reads all documents of a UTF-8 text; a document without content has a scalar "~".
// InvalidArgument, with the line, for what is no YAML, is nested deeper than JsonValue may be, has
// a tag that is not one of JSON's types, or grows beyond all measure by its aliases.
absl::StatusOr<std::vector<YamlNode>> ReadYaml(absl::string_view text);

// A node as the JSON that Kubernetes takes it for: the types of YAML 1.1, as kubectl reads it, with
// merge keys (<<). InvalidArgument, with the line, for a key twice, or one that is no scalar.
absl::StatusOr<Json> YamlToJson(const YamlNode& node);

// A value in block style, each line ending with a newline.
std::string WriteYaml(const Json& value);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_YAML_READER_H_
