// Compiled with exceptions, see .bazelrc.
#include "deploy/injector/yaml_reader.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <initializer_list>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "deploy/injector/yaml_scalar.h"
#include "yaml-cpp/emitter.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/null.h"
#include "yaml-cpp/parser.h"

namespace byrnie {
namespace {

// Of a text, aliases written out: a few bytes can stand for very many.
constexpr size_t kMaxNodes = 1000000;

// Ends the parsing.
class Refused : public std::runtime_error {
 public:
  Refused(int line, const std::string& what)
      : std::runtime_error(absl::StrCat("line ", line + 1, ": ", what)) {}
};

// Builds the tree of one document.
class TreeBuilder : public YAML::EventHandler {
 public:
  // Of `text`; `nodes` counts those of all documents, `begun` is where the last one began.
  TreeBuilder(absl::string_view text, size_t* nodes, int* begun)
      : text_(text), nodes_(nodes), begun_(begun) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    // The parser leaves what begins nothing, a comma, where it is, and would make one empty
    // document after the other of it.
    if (mark.pos == *begun_) {
      throw Refused(mark.line, "neither a value nor the end of the document");
    }
    // Nor does it mind where the one before ends. What is changed is changed by whole lines.
    if (*begun_ >= 0 && !BeginsLine(mark)) {
      throw Refused(mark.line, "the next document begins where one ends; put --- between them");
    }
    *begun_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node = At(mark);
    node.text = "~";
    Add(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    // An anchor within itself is not there yet.
    if (found == anchors_.end()) throw Refused(mark.line, "an alias of what is not known yet");
    YamlNode node = found->second;
    node.alias = true;
    Count(mark, Size(node));
    if (open_.size() + Depth(node) > JsonValue::kMaxDepth) throw Refused(mark.line, kTooDeep);
    Add(std::move(node), 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = At(mark);
    node.quoted = tag == "!" || tag == absl::StrCat(kTags, "str");
    if (!node.quoted) CheckTag(mark, tag, {"", "?", "null", "bool", "int", "float"});
    node.text = value;
    Add(std::move(node), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    CheckTag(mark, tag, {"", "?", "!", "seq"});
    Open(mark, YamlNode::Kind::kSequence, style, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    CheckTag(mark, tag, {"", "?", "!", "map"});
    Open(mark, YamlNode::Kind::kMap, style, anchor);
  }
  void OnMapEnd() override { Close(); }

  YamlNode Take() && { return std::move(root_); }

 private:
  static constexpr char kTags[] = "tag:yaml.org,2002:";
  static constexpr char kTooDeep[] = "nested too deep";

  // Whether nothing but blanks is before it.
  bool BeginsLine(const YAML::Mark& mark) const {
    const absl::string_view before = text_.substr(0, static_cast<size_t>(mark.pos));
    const size_t last = before.find_last_not_of(" \t");
    return last == absl::string_view::npos || before[last] == '\n' || before[last] == '\r';
  }

  static void CheckTag(const YAML::Mark& mark, const std::string& tag,
                       std::initializer_list<const char*> known) {
    for (const char* const name : known) {
      if (tag == name || tag == absl::StrCat(kTags, name)) return;
    }
    throw Refused(mark.line, absl::StrCat("the tag ", tag, " is not understood"));
  }

  YamlNode At(const YAML::Mark& mark) {
    Count(mark, 1);
    YamlNode node;
    node.line = mark.line;
    node.column = mark.column;
    return node;
  }
  void Count(const YAML::Mark& mark, size_t more) {
    *nodes_ += more;
    if (*nodes_ > kMaxNodes) throw Refused(mark.line, "too many values");
  }
  static size_t Size(const YamlNode& node) {
    size_t size = 1;
    for (const YamlNode& child : node.children) size += Size(child);
    return size;
  }
  static int Depth(const YamlNode& node) {
    int depth = 0;
    for (const YamlNode& child : node.children) depth = std::max(depth, Depth(child));
    return depth + (node.kind == YamlNode::Kind::kScalar ? 0 : 1);
  }

  void Open(const YAML::Mark& mark, YamlNode::Kind kind, YAML::EmitterStyle::value style,
            YAML::anchor_t anchor) {
    if (open_.size() >= static_cast<size_t>(JsonValue::kMaxDepth)) {
      throw Refused(mark.line, kTooDeep);
    }
    YamlNode node = At(mark);
    node.kind = kind;
    node.flow = style == YAML::EmitterStyle::Flow;
    open_.push_back({std::move(node), anchor});
  }
  void Close() {
    YamlNode node = std::move(open_.back().first);
    const YAML::anchor_t anchor = open_.back().second;
    open_.pop_back();
    // Where it has an anchor, its own place is that.
    if (node.kind == YamlNode::Kind::kMap && !node.flow && !node.children.empty()) {
      node.line = node.children.front().line;
      node.column = node.children.front().column;
    }
    Add(std::move(node), anchor);
  }
  void Add(YamlNode node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().first.children.push_back(std::move(node));
    }
  }

  const absl::string_view text_;
  size_t* const nodes_;  // Not owned.
  int* const begun_;     // Not owned.
  YamlNode root_;
  std::vector<std::pair<YamlNode, YAML::anchor_t>> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
};

// Also not UTF-16, which has NUL bytes or begins as UTF-8 cannot, and which yaml-cpp would read.
bool IsUtf8(absl::string_view text) {
  if (absl::StrContains(text, absl::string_view("\0", 1))) return false;
  // As a JSON string, of which the parser looks at every byte.
  std::string quoted = "\"";
  for (const char c : text) {
    const bool special = c == '"' || c == '\\' || absl::ascii_iscntrl(c);
    quoted.push_back(special ? ' ' : c);
  }
  quoted.push_back('"');
  return Json::accept(quoted);
}

// A text with double quotes, such as JSON.
bool ReadsBetterInSingle(const std::string& text) {
  return absl::StrContains(text, "\"") && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isprint(c) && c != '\'' && c != '\\';
         });
}

void Emit(const Json& value, YAML::Emitter* out) {
  if (value.is_object() && !value.empty()) {
    *out << YAML::BeginMap;
    for (const auto& member : value.items()) {
      *out << YAML::Key;
      Emit(Json(member.key()), out);
      *out << YAML::Value;
      Emit(member.value(), out);
    }
    *out << YAML::EndMap;
  } else if (value.is_array() && !value.empty()) {
    *out << YAML::BeginSeq;
    for (const Json& element : value) Emit(element, out);
    *out << YAML::EndSeq;
  } else if (value.is_object()) {
    *out << YAML::Flow << YAML::BeginMap << YAML::EndMap;
  } else if (value.is_array()) {
    *out << YAML::Flow << YAML::BeginSeq << YAML::EndSeq;
  } else if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    if (!IsPlainYamlString(text))
      *out << (ReadsBetterInSingle(text) ? YAML::SingleQuoted : YAML::DoubleQuoted);
    *out << text;
  } else if (value.is_null()) {
    *out << YAML::Null;
  } else {
    // Numbers, true and false are written as JSON has them.
    *out << ToText(value);
  }
}

}  // namespace

absl::StatusOr<std::vector<YamlNode>> ReadYaml(absl::string_view text) {
  if (!IsUtf8(text)) return absl::InvalidArgumentError("not a text in UTF-8");
  std::vector<YamlNode> documents;
  size_t nodes = 0;
  int begun = -1;
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    for (;;) {
      TreeBuilder builder(text, &nodes, &begun);
      if (!parser.HandleNextDocument(builder)) break;
      documents.push_back(std::move(builder).Take());
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", error.mark.line + 1, ": ", error.msg.substr(0, 200)));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return documents;
}

std::string WriteYaml(const Json& value) {
  YAML::Emitter out;
  Emit(value, &out);
  return absl::StrCat(absl::string_view(out.c_str(), out.size()), "\n");
}

}  // namespace byrnie
