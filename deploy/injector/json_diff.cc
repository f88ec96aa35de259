#include "deploy/injector/json_diff.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace byrnie {
namespace {

using Kind = JsonEdit::Kind;
using Path = std::vector<std::string>;

// Beyond this two lists are not compared element by element.
constexpr size_t kMaxCells = 1000000;

Path Join(const Path& path, std::string name) {
  Path longer = path;
  longer.push_back(std::move(name));
  return longer;
}

class Differ {
 public:
  std::vector<JsonEdit> Run(const Json& from, const Json& to) && {
    Compare(from, to, {});
    return std::move(edits_);
  }

 private:
  void Compare(const Json& from, const Json& to, const Path& path) {
    if (from.is_object() && to.is_object()) {
      CompareMembers(from, to, path);
    } else if (from.is_array() && to.is_array() && from.size() * to.size() <= kMaxCells) {
      CompareElements(from, to, path);
    } else if (!SameJson(from, to)) {
      edits_.push_back({Kind::kReplace, path, to});
    }
  }

  void CompareMembers(const Json& from, const Json& to, const Path& path) {
    for (const auto& member : from.items()) {
      const Json* const other = Find(to, member.key());
      if (other == nullptr) {
        edits_.push_back({Kind::kRemove, Join(path, member.key()), Json(nullptr)});
      } else {
        Compare(member.value(), *other, Join(path, member.key()));
      }
    }
    for (const auto& member : to.items()) {
      if (Find(from, member.key()) == nullptr) {
        edits_.push_back({Kind::kAdd, Join(path, member.key()), member.value()});
      }
    }
  }

  // What makes an element the one it is.
  static std::string KeyOf(const Json& element) {
    const std::string name = TextOf(element, "name");
    if (!name.empty()) return absl::StrCat("name ", name);
    const Json* const metadata = Find(element, "metadata");
    if (metadata == nullptr || TextOf(*metadata, "name").empty()) return ToText(element);
    return absl::StrCat("object ", TextOf(element, "kind"), " ", TextOf(*metadata, "namespace"),
                        "/", TextOf(*metadata, "name"));
  }

  static std::vector<std::string> KeysOf(const Json& list) {
    std::vector<std::string> keys;
    for (const Json& element : list) keys.push_back(KeyOf(element));
    return keys;
  }

  // A longest common subsequence, from its end.
  void CompareElements(const Json& from, const Json& to, const Path& path) {
    const std::vector<std::string> old_keys = KeysOf(from), new_keys = KeysOf(to);
    const size_t rows = old_keys.size(), columns = new_keys.size();
    std::vector<std::vector<size_t>> common(rows + 1, std::vector<size_t>(columns + 1, 0));
    for (size_t i = 1; i <= rows; ++i) {
      for (size_t j = 1; j <= columns; ++j) {
        common[i][j] = old_keys[i - 1] == new_keys[j - 1]
                           ? common[i - 1][j - 1] + 1
                           : std::max(common[i - 1][j], common[i][j - 1]);
      }
    }
    size_t i = rows, j = columns;
    while (i > 0 || j > 0) {
      if (i > 0 && j > 0 && old_keys[i - 1] == new_keys[j - 1]) {
        Compare(from[i - 1], to[j - 1], Join(path, absl::StrCat(i - 1)));
        --i, --j;
      } else if (j > 0 && (i == 0 || common[i][j - 1] >= common[i - 1][j])) {
        edits_.push_back({Kind::kAdd, Join(path, absl::StrCat(i)), to[j - 1]});
        --j;
      } else {
        edits_.push_back({Kind::kRemove, Join(path, absl::StrCat(i - 1)), Json(nullptr)});
        --i;
      }
    }
  }

  std::vector<JsonEdit> edits_;
};

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kAdd:
      return "add";
    case Kind::kRemove:
      return "remove";
    case Kind::kReplace:
      return "replace";
  }
  return "";
}

}  // namespace

std::vector<JsonEdit> DiffJson(const Json& from, const Json& to) { return Differ().Run(from, to); }

Json ToJsonPatch(const std::vector<JsonEdit>& edits) {
  Json patch = Json::array();
  for (const JsonEdit& edit : edits) {
    Json step = Json::object();
    step["op"] = NameOf(edit.kind);
    std::string path;
    for (const std::string& name : edit.path) {
      absl::StrAppend(&path, "/", absl::StrReplaceAll(name, {{"~", "~0"}, {"/", "~1"}}));
    }
    step["path"] = std::move(path);
    if (edit.kind != Kind::kRemove) step["value"] = edit.value;
    patch.push_back(std::move(step));
  }
  return patch;
}

}  // namespace byrnie
