#include "deploy/injector/yaml_edit.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "deploy/injector/json_diff.h"

namespace byrnie {
namespace {

using Path = std::vector<std::string>;

int IndentOf(absl::string_view line) {
  const size_t first = line.find_first_not_of(' ');
  return static_cast<int>(first == absl::string_view::npos ? line.size() : first);
}

bool IsBlank(absl::string_view line) { return absl::StripAsciiWhitespace(line).empty(); }

bool IsComment(absl::string_view line) {
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "#");
}

bool IsDash(absl::string_view line, int column) {
  line.remove_prefix(std::min(static_cast<size_t>(column), line.size()));
  return absl::StartsWith(line, "-") && (line.size() == 1 || absl::ascii_isspace(line[1]));
}

bool EndsDocument(absl::string_view line) {
  return (absl::StartsWith(line, "---") || absl::StartsWith(line, "...")) &&
         (line.size() == 3 || absl::ascii_isspace(line[3]));
}

// Each line further to the right.
std::string Indented(const std::string& text, int columns) {
  std::string result;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&result, std::string(static_cast<size_t>(columns), ' '), line, "\n");
  }
  return result;
}

// Key and value of a map as a map of one.
Json Entry(const std::string& name, const Json& value) {
  Json entry = Json::object();
  entry[name] = value;
  return entry;
}

// The number of a member's key among a map's children.
absl::optional<size_t> FindKey(const YamlNode& map, const std::string& name) {
  for (size_t i = 0; i + 1 < map.children.size(); i += 2) {
    if (map.children[i].text == name) return i;
  }
  return absl::nullopt;
}

bool InLines(const YamlNode& node) {
  return node.kind != YamlNode::Kind::kScalar && !node.flow && !node.alias &&
         !node.children.empty();
}

const YamlNode* Step(const YamlNode& node, const std::string& name) {
  if (!InLines(node)) return nullptr;
  size_t index = 0;
  if (node.kind == YamlNode::Kind::kSequence) {
    return absl::SimpleAtoi(name, &index) && index < node.children.size() ? &node.children[index]
                                                                          : nullptr;
  }
  const absl::optional<size_t> key = FindKey(node, name);
  return key.has_value() ? &node.children[*key + 1] : nullptr;
}

const Json* ValueAt(const Json& root, const Path& path) {
  const Json* value = &root;
  for (const std::string& name : path) {
    size_t index = 0;
    if (value->is_array()) {
      if (!absl::SimpleAtoi(name, &index) || index >= value->size()) return nullptr;
      value = &(*value)[index];
    } else {
      value = Find(*value, name);
      if (value == nullptr) return nullptr;
    }
  }
  return value;
}

bool IsWithin(const Path& path, const Path& whole) {
  return path.size() >= whole.size() && std::equal(whole.begin(), whole.end(), path.begin());
}

// What is at `path`, after all steps within it: paths are those of `from`, where an element may
// have another number than in the end.
absl::optional<Json> ChangedAt(const Json& from, const Path& path,
                               const std::vector<JsonEdit>& edits) {
  const Json* const before = ValueAt(from, path);
  if (before == nullptr) return absl::nullopt;
  Json value = *before;
  for (const JsonEdit& edit : edits) {
    if (IsWithin(edit.path, path)) ApplyEdit(edit, path.size(), &value);
  }
  return value;
}

// How many steps of `path` lead through what is written in lines. A step within something else
// becomes a change of the whole of that.
size_t StepsInLines(const YamlNode& root, const Path& path) {
  const YamlNode* node = &root;
  for (size_t i = 0; i < path.size(); ++i) {
    if (!InLines(*node)) return i;
    if (i + 1 == path.size()) break;
    node = Step(*node, path[i]);
    if (node == nullptr) return i;
  }
  return path.size();
}

}  // namespace

YamlLines::YamlLines(absl::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines_.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

absl::string_view YamlLines::Line(int number) const {
  if (number < 0 || number >= Count()) return "";
  return absl::StripTrailingAsciiWhitespace(lines_[static_cast<size_t>(number)]);
}

int YamlLines::BlockEnd(int line, int column, bool dashes_belong) const {
  int end = line + 1;
  for (int next = line + 1; next < Count(); ++next) {
    const absl::string_view text = Line(next);
    if (IsBlank(text)) continue;
    if (EndsDocument(text)) break;
    const int indent = IndentOf(text);
    const bool belongs = indent > column || (dashes_belong && indent == column &&
                                             !IsComment(text) && IsDash(text, column));
    if (!belongs) {
      // A comment to the left says nothing about where the block ends, but is not part of it.
      if (IsComment(text)) continue;
      break;
    }
    end = next + 1;
  }
  return end;
}

int YamlLines::DocumentEnd(const YamlNode& root, const YamlNode* next) const {
  // Between what is written by {} nothing has to stand: the next one may begin on the next line.
  const int most = next == nullptr ? Count() : std::min(next->line, Count());
  int line = root.line + 1;
  while (line < most && !EndsDocument(Line(line))) ++line;
  return line;
}

int YamlLines::DashLine(const YamlNode& sequence, size_t index) const {
  const int first = sequence.line;
  int line = sequence.children[index].line;
  while (line > first && !IsDash(Line(line), sequence.column)) --line;
  return line;
}

YamlLines::LineEdit YamlLines::ReplaceAt(const YamlNode& first, size_t depth,
                                         const std::string& text) const {
  const int end = BlockEnd(first.line, first.column, true);
  std::string replacement = Indented(text, first.column);
  // What stands before it on its line: spaces, or the dash of the list it is in.
  replacement.replace(0, static_cast<size_t>(first.column),
                      std::string(Line(first.line).substr(0, static_cast<size_t>(first.column))));
  return {first.line, end, depth, std::move(replacement)};
}

absl::optional<YamlLines::LineEdit> YamlLines::EditOf(const YamlNode& root, const Path& path,
                                                      bool add, bool remove,
                                                      const Json& value) const {
  const YamlNode* parent = &root;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    parent = Step(*parent, path[i]);
    if (parent == nullptr) return absl::nullopt;
  }
  const size_t depth = path.size();
  const int column = parent->column;
  if (parent->kind == YamlNode::Kind::kMap) {
    std::string text = WriteYaml(Entry(path.back(), value));
    // Null as it is written mostly, by nothing.
    if (value.is_null() && absl::EndsWith(text, ": ~\n")) text.erase(text.size() - 3, 2);
    if (add) {
      const int line = BlockEnd(parent->children[0].line, column, true);
      return LineEdit{line, line, depth, Indented(text, column)};
    }
    const absl::optional<size_t> index = FindKey(*parent, path.back());
    if (!index.has_value()) return absl::nullopt;
    const YamlNode& key = parent->children[*index];
    if (!remove) return ReplaceAt(key, depth, text);
    // The first key of an element stands on the line of its dash.
    if (IndentOf(Line(key.line)) != key.column) return absl::nullopt;
    return LineEdit{key.line, BlockEnd(key.line, column, true), depth, ""};
  }
  size_t index = 0;
  if (!absl::SimpleAtoi(path.back(), &index) || index > parent->children.size()) {
    return absl::nullopt;
  }
  Json element = Json::array();
  element.push_back(value);
  const std::string text = Indented(WriteYaml(element), column);
  if (index == parent->children.size()) {
    if (!add) return absl::nullopt;
    const int line = BlockEnd(DashLine(*parent, index - 1), column, false);
    return LineEdit{line, line, depth, text};
  }
  int line = DashLine(*parent, index);
  // A list within a list begins on the line of the other's dash.
  if (IndentOf(Line(line)) != column) return absl::nullopt;
  if (!add) return LineEdit{line, BlockEnd(line, column, false), depth, remove ? "" : text};
  // What is said of an element stays above it.
  while (line > 0 && IsComment(Line(line - 1))) --line;
  return LineEdit{line, line, depth, text};
}

bool YamlLines::Change(const YamlNode& root, const Json& from, const Json& to) {
  std::vector<LineEdit> edits;
  std::set<Path> whole;
  const std::vector<JsonEdit> steps_to = DiffJson(from, to);
  for (const JsonEdit& edit : steps_to) {
    const size_t steps = StepsInLines(root, edit.path);
    absl::optional<LineEdit> made;
    if (steps == edit.path.size()) {
      made = EditOf(root, edit.path, edit.kind == JsonEdit::Kind::kAdd,
                    edit.kind == JsonEdit::Kind::kRemove, edit.value);
    } else {
      const Path path(edit.path.begin(), edit.path.begin() + static_cast<ptrdiff_t>(steps));
      if (path.empty()) return false;
      if (!whole.insert(path).second) continue;
      const absl::optional<Json> value = ChangedAt(from, path, steps_to);
      if (!value.has_value()) return false;
      made = EditOf(root, path, false, false, *value);
    }
    if (!made.has_value()) return false;
    edits.push_back(*std::move(made));
  }
  std::move(edits.begin(), edits.end(), std::back_inserter(edits_));
  return true;
}

void YamlLines::Rewrite(const YamlNode& root, const YamlNode* next, const Json& to) {
  std::string text =
      absl::StrContains(Line(root.line).substr(0, static_cast<size_t>(root.column)), "---")
          ? "---\n"
          : "";
  absl::StrAppend(
      &text, root.flow ? absl::StrCat(to.dump(2, ' ', false, Json::error_handler_t::replace), "\n")
                       : WriteYaml(to));
  edits_.push_back({root.line, DocumentEnd(root, next), 0, std::move(text)});
}

std::string YamlLines::Text() const {
  std::vector<const LineEdit*> edits;
  edits.reserve(edits_.size());
  for (const LineEdit& edit : edits_) edits.push_back(&edit);
  // From the end. Where several begin at one line: what is replaced first; then what is added, the
  // outermost first, so that what is within comes before what follows it.
  std::stable_sort(edits.begin(), edits.end(), [](const LineEdit* a, const LineEdit* b) {
    if (a->begin != b->begin) return a->begin > b->begin;
    if (a->end != b->end) return a->end > b->end;
    return a->depth < b->depth;
  });
  std::reverse(edits.begin(), edits.end());
  // As the text has it: with both, an editor or git would write all of it anew.
  const absl::string_view newline =
      !lines_.empty() && absl::EndsWith(lines_.front(), "\r\n") ? "\r\n" : "\n";
  std::string text;
  int next = 0;
  const auto copy_until = [&](int end) {
    for (; next < std::min(end, Count()); ++next) {
      text.append(lines_[static_cast<size_t>(next)].data(),
                  lines_[static_cast<size_t>(next)].size());
    }
  };
  for (const LineEdit* const edit : edits) {
    copy_until(edit->begin);
    // The last line is ended where something comes after it alone: a newline more would be part of
    // a text of several lines.
    if (edit->begin >= Count() && !text.empty() && !absl::EndsWith(text, "\n")) {
      absl::StrAppend(&text, newline);
    }
    absl::StrAppend(&text, absl::StrReplaceAll(edit->text, {{"\n", newline}}));
    next = std::max(next, edit->end);
  }
  copy_until(Count());
  return text;
}

}  // namespace byrnie
