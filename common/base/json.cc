#include "common/base/json.h"

#include <algorithm>
#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/json_error.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace byrnie {

// A plain struct: a variant of recursive containers costs more code than it saves memory, and trees
// are short-lived.
struct JsonValue::Node {
  enum class Kind { kNull, kBool, kSigned, kUnsigned, kDouble, kString, kArray, kObject };
  explicit Node(Kind kind = Kind::kNull) : kind(kind) {}

  Kind kind;
  bool boolean = false;
  int64_t signed_integer = 0;
  uint64_t unsigned_integer = 0;
  double number = 0;
  std::string text;
  std::vector<std::string> names;  // Of an object's members, beside `children`.
  std::vector<Node> children;
};

namespace {

absl::string_view TypeName(JsonValue::Type type) {
  switch (type) {
    case JsonValue::Type::kNull:
      return "null";
    case JsonValue::Type::kBool:
      return "a boolean";
    case JsonValue::Type::kNumber:
      return "a number";
    case JsonValue::Type::kString:
      return "a string";
    case JsonValue::Type::kArray:
      return "an array";
    case JsonValue::Type::kObject:
      return "an object";
  }
  return "something unknown";
}

std::string MemberPath(absl::string_view parent, absl::string_view name) {
  return parent.empty() ? std::string(name) : absl::StrCat(parent, ".", name);
}

}  // namespace

// Receives the parser's events and builds the tree. nlohmann's own tree would accept duplicate keys
// and any depth, and its accessors throw.
class JsonTreeBuilder {
 public:
  using Node = JsonValue::Node;
  using OnElement = std::function<absl::Status(absl::string_view member, const JsonValue& element)>;

  // `on_element`, where there is one, gets the elements of the lists within the outermost object.
  explicit JsonTreeBuilder(const OnElement* on_element = nullptr) : on_element_(on_element) {}

  bool null() { return Add(Node(Node::Kind::kNull)); }
  bool boolean(bool value) {
    Node node(Node::Kind::kBool);
    node.boolean = value;
    return Add(std::move(node));
  }
  bool number_integer(int64_t value) {
    Node node(Node::Kind::kSigned);
    node.signed_integer = value;
    return Add(std::move(node));
  }
  bool number_unsigned(uint64_t value) {
    Node node(Node::Kind::kUnsigned);
    node.unsigned_integer = value;
    return Add(std::move(node));
  }
  bool number_float(double value, const std::string&) {
    Node node(Node::Kind::kDouble);
    node.number = value;
    return Add(std::move(node));
  }
  bool string(std::string& value) {
    Node node(Node::Kind::kString);
    node.text = std::move(value);
    return Add(std::move(node));
  }
  bool binary(std::vector<uint8_t>&) { return false; }
  bool start_object(size_t) { return Open(Node(Node::Kind::kObject)); }
  bool start_array(size_t) { return Open(Node(Node::Kind::kArray)); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }

  bool key(std::string& name) {
    Level& level = open_.back();
    if (!level.keys.insert(name).second) {
      return Fail(absl::StrCat("the key \"", name, "\" appears twice in one object"));
    }
    level.key = std::move(name);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    return Fail(absl::StrCat("invalid JSON at ", PlaceOfJsonError(error.what()).substr(0, 200)));
  }

  absl::StatusOr<JsonValue> Finish() && {
    RETURN_IF_ERROR(element_error_);
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    auto root = std::make_shared<const Node>(std::move(root_));
    const Node* node = root.get();
    return JsonValue(std::move(root), node, "");
  }
  bool Fail(std::string what) {
    if (error_.empty()) error_ = std::move(what);
    return false;
  }

 private:
  struct Level {
    Node node;
    std::string key;                        // The member of an object that comes next.
    size_t elements = 0;                    // Of a list, those that were given away.
    absl::flat_hash_set<std::string> keys;  // Those of an object seen so far.
  };

  bool Add(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return true;
    }
    Level& parent = open_.back();
    if (on_element_ != nullptr && open_.size() == 2 && parent.node.kind == Node::Kind::kArray &&
        open_.front().node.kind == Node::Kind::kObject) {
      return GiveAway(std::move(node), &parent);
    }
    if (parent.node.kind == Node::Kind::kObject) {
      parent.node.names.push_back(std::move(parent.key));
    }
    parent.node.children.push_back(std::move(node));
    return true;
  }
  bool GiveAway(Node node, Level* list) {
    const std::string& member = open_.front().key;
    auto root = std::make_shared<const Node>(std::move(node));
    const Node* const top = root.get();
    element_error_ = (*on_element_)(
        member, JsonValue(std::move(root), top, absl::StrCat(member, "[", list->elements++, "]")));
    return element_error_.ok();
  }
  bool Open(Node node) {
    if (open_.size() >= JsonValue::kMaxDepth) {
      return Fail(absl::StrCat("nested deeper than ", JsonValue::kMaxDepth, " levels"));
    }
    open_.push_back(Level{std::move(node), {}, 0, {}});
    return true;
  }
  bool Close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    return Add(std::move(node));
  }

  const OnElement* const on_element_;  // Not owned; null: everything is kept.
  Node root_;
  std::vector<Level> open_;
  std::string error_;
  absl::Status element_error_;
};

JsonValue::JsonValue(std::shared_ptr<const Node> root, const Node* node, std::string path)
    : root_(std::move(root)), node_(node), path_(std::move(path)) {}

absl::StatusOr<JsonValue> JsonValue::ParseWith(absl::string_view text, size_t max_size,
                                               JsonTreeBuilder builder) {
  if (text.size() > max_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON text of ", text.size(), " bytes is longer than ", max_size));
  }
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    builder.Fail("invalid JSON");
  }
  return std::move(builder).Finish();
}

absl::StatusOr<JsonValue> JsonValue::Parse(absl::string_view text, size_t max_size) {
  return ParseWith(text, max_size, JsonTreeBuilder());
}

absl::StatusOr<JsonObject> JsonValue::ParseLists(absl::string_view text, size_t max_size,
                                                 const JsonTreeBuilder::OnElement& on_element) {
  ASSIGN_OR_RETURN(JsonValue value, ParseWith(text, max_size, JsonTreeBuilder(&on_element)));
  return value.AsObject();
}

JsonValue::Type JsonValue::type() const {
  switch (node_->kind) {
    case Node::Kind::kNull:
      return Type::kNull;
    case Node::Kind::kBool:
      return Type::kBool;
    case Node::Kind::kSigned:
    case Node::Kind::kUnsigned:
    case Node::Kind::kDouble:
      return Type::kNumber;
    case Node::Kind::kString:
      return Type::kString;
    case Node::Kind::kArray:
      return Type::kArray;
    case Node::Kind::kObject:
      return Type::kObject;
  }
  return Type::kNull;
}

absl::Status JsonValue::Error(absl::string_view what) const {
  return absl::InvalidArgumentError(path_.empty() ? std::string(what)
                                                  : absl::StrCat(path_, ": ", what));
}

absl::Status JsonValue::WrongType(absl::string_view expected) const {
  return Error(absl::StrCat("expected ", expected, ", found ", TypeName(type())));
}

absl::StatusOr<bool> JsonValue::AsBool() const {
  if (type() != Type::kBool) return WrongType("true or false");
  return node_->boolean;
}

absl::StatusOr<std::string> JsonValue::AsString() const {
  if (type() != Type::kString) return WrongType("a string");
  return node_->text;
}

absl::StatusOr<int64_t> JsonValue::AsInt(int64_t min, int64_t max) const {
  if (type() != Type::kNumber) return WrongType("an integer");
  if (node_->kind == Node::Kind::kDouble) return Error("expected an integer");
  const bool is_signed = node_->kind == Node::Kind::kSigned;
  if (!is_signed &&
      node_->unsigned_integer > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Error(absl::StrCat(node_->unsigned_integer, " is not between ", min, " and ", max));
  }
  const int64_t value =
      is_signed ? node_->signed_integer : static_cast<int64_t>(node_->unsigned_integer);
  if (value < min || value > max) {
    return Error(absl::StrCat(value, " is not between ", min, " and ", max));
  }
  return value;
}

absl::StatusOr<double> JsonValue::AsDouble() const {
  if (type() != Type::kNumber) return WrongType("a number");
  if (node_->kind == Node::Kind::kSigned) return static_cast<double>(node_->signed_integer);
  if (node_->kind == Node::Kind::kUnsigned) return static_cast<double>(node_->unsigned_integer);
  return node_->number;
}

absl::StatusOr<std::vector<JsonValue>> JsonValue::AsArray() const {
  if (type() != Type::kArray) return WrongType("an array");
  std::vector<JsonValue> result;
  result.reserve(node_->children.size());
  for (size_t i = 0; i < node_->children.size(); ++i) {
    result.push_back(JsonValue(root_, &node_->children[i], absl::StrCat(path_, "[", i, "]")));
  }
  return result;
}

absl::StatusOr<std::vector<std::string>> JsonValue::AsStringArray() const {
  ASSIGN_OR_RETURN(std::vector<JsonValue> array, AsArray());
  std::vector<std::string> result;
  result.reserve(array.size());
  for (const JsonValue& element : array) {
    ASSIGN_OR_RETURN(std::string text, element.AsString());
    result.push_back(std::move(text));
  }
  return result;
}

absl::StatusOr<JsonObject> JsonValue::AsObject() const {
  if (type() != Type::kObject) return WrongType("an object");
  return JsonObject(*this);
}

absl::Status JsonObject::CheckKeys(std::initializer_list<absl::string_view> known) const {
  for (const std::string& name : value_.node_->names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return value_.Error(
          absl::StrCat("unknown key \"", name, "\"; known keys: ", absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

std::vector<std::pair<std::string, JsonValue>> JsonObject::Members() const {
  const JsonValue::Node& node = *value_.node_;
  std::vector<std::pair<std::string, JsonValue>> result;
  for (size_t i = 0; i < node.names.size(); ++i) {
    result.emplace_back(node.names[i], JsonValue(value_.root_, &node.children[i],
                                                 MemberPath(value_.path_, node.names[i])));
  }
  return result;
}

absl::optional<JsonValue> JsonObject::Find(absl::string_view name) const {
  const JsonValue::Node& node = *value_.node_;
  for (size_t i = 0; i < node.names.size(); ++i) {
    if (node.names[i] == name) {
      return JsonValue(value_.root_, &node.children[i], MemberPath(value_.path_, name));
    }
  }
  return absl::nullopt;
}

absl::StatusOr<JsonValue> JsonObject::Get(absl::string_view name) const {
  absl::optional<JsonValue> value = Find(name);
  if (!value) return value_.Error(absl::StrCat("\"", name, "\" is missing"));
  return *std::move(value);
}

absl::StatusOr<std::string> JsonObject::GetString(absl::string_view name) const {
  ASSIGN_OR_RETURN(JsonValue value, Get(name));
  return value.AsString();
}

absl::StatusOr<std::string> JsonObject::GetStringOr(absl::string_view name,
                                                    absl::string_view missing) const {
  absl::optional<JsonValue> value = Find(name);
  return value ? value->AsString() : std::string(missing);
}

absl::StatusOr<int64_t> JsonObject::GetInt(absl::string_view name, int64_t min, int64_t max) const {
  ASSIGN_OR_RETURN(JsonValue value, Get(name));
  return value.AsInt(min, max);
}

absl::StatusOr<int64_t> JsonObject::GetIntOr(absl::string_view name, int64_t min, int64_t max,
                                             int64_t missing) const {
  absl::optional<JsonValue> value = Find(name);
  return value ? value->AsInt(min, max) : missing;
}

absl::StatusOr<bool> JsonObject::GetBool(absl::string_view name) const {
  ASSIGN_OR_RETURN(JsonValue value, Get(name));
  return value.AsBool();
}

absl::StatusOr<bool> JsonObject::GetBoolOr(absl::string_view name, bool missing) const {
  absl::optional<JsonValue> value = Find(name);
  return value ? value->AsBool() : missing;
}

absl::StatusOr<std::vector<JsonValue>> JsonObject::GetArrayOrEmpty(absl::string_view name) const {
  absl::optional<JsonValue> value = Find(name);
  if (!value) return std::vector<JsonValue>();
  return value->AsArray();
}

absl::StatusOr<std::vector<std::string>> JsonObject::GetStringArrayOrEmpty(
    absl::string_view name) const {
  absl::optional<JsonValue> value = Find(name);
  if (!value) return std::vector<std::string>();
  return value->AsStringArray();
}

absl::StatusOr<JsonObject> JsonObject::GetObject(absl::string_view name) const {
  ASSIGN_OR_RETURN(JsonValue value, Get(name));
  return value.AsObject();
}

}  // namespace byrnie
