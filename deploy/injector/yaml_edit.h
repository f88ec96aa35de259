#ifndef BYRNIE_DEPLOY_INJECTOR_YAML_EDIT_H_
#define BYRNIE_DEPLOY_INJECTOR_YAML_EDIT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "deploy/injector/json.h"
#include "deploy/injector/yaml_reader.h"

namespace byrnie {

// A YAML text by lines, in which values are changed without touching the lines beside them: their
// comments, order and quotes stay. A value.
class YamlLines {
 public:
  // `text` outlives it.
  explicit YamlLines(absl::string_view text);

  // Changes the document `root` so that it says `to` instead of `from`, which it says now. False,
  // having changed nothing, when it is not written in lines: by [] and {}, as JSON is.
  bool Change(const YamlNode& root, const Json& from, const Json& to);
  // Writes the whole document anew: without comments. `next` is the document behind it; null: there
  // is none.
  void Rewrite(const YamlNode& root, const YamlNode* next, const Json& to);

  // The text with all changes. Whoever calls reads it again: what a change of lines means depends
  // on the rest of the text.
  std::string Text() const;

 private:
  // Lines [begin, end) become `text`.
  struct LineEdit {
    int begin, end;
    // Of the place in the document.
    size_t depth;
    std::string text;
  };

  absl::optional<LineEdit> EditOf(const YamlNode& root, const std::vector<std::string>& path,
                                  bool add, bool remove, const Json& value) const;
  LineEdit ReplaceAt(const YamlNode& first, size_t depth, const std::string& text) const;

  absl::string_view Line(int number) const;
  int Count() const { return static_cast<int>(lines_.size()); }
  // The line after the last one of what begins at `line` in `column`. A key's list may begin in
  // the key's own column.
  int BlockEnd(int line, int column, bool dashes_belong) const;
  int DocumentEnd(const YamlNode& root, const YamlNode* next) const;
  int DashLine(const YamlNode& sequence, size_t index) const;

  std::vector<absl::string_view> lines_;  // With their ends.
  std::vector<LineEdit> edits_;
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_YAML_EDIT_H_
