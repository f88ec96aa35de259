#include "deploy/injector/json_diff.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace byrnie {
namespace {

using Kind = JsonEdit::Kind;
using Path = std::vector<std::string>;

// Pairs of elements that are looked at in all; a list for which that is not enough is replaced.
constexpr size_t kMaxCells = 1000000;

class Differ {
 public:
  std::vector<JsonEdit> Run(const Json& from, const Json& to) && {
    Compare(from, to);
    return std::move(edits_);
  }

 private:
  void Compare(const Json& from, const Json& to) {
    // What is left empty is said in one step: a text by lines cannot say it by leaving out.
    if (!path_.empty() && to.empty() && !from.empty()) {
      edits_.push_back({Kind::kReplace, path_, to});
    } else if (from.is_object() && to.is_object()) {
      CompareMembers(from, to);
    } else if (from.is_array() && to.is_array()) {
      CompareElements(from, to);
    } else if (!SameJson(from, to)) {
      edits_.push_back({Kind::kReplace, path_, to});
    }
  }

  // As Compare, of what is called `name` within what is being compared.
  void CompareAt(std::string name, const Json& from, const Json& to) {
    path_.push_back(std::move(name));
    Compare(from, to);
    path_.pop_back();
  }

  void Edit(Kind kind, std::string name, Json value) {
    Path path = path_;
    path.push_back(std::move(name));
    edits_.push_back({kind, std::move(path), std::move(value)});
  }

  void CompareMembers(const Json& from, const Json& to) {
    const auto& before = from.get_ref<const Json::object_t&>();
    const auto& after = to.get_ref<const Json::object_t&>();
    auto left = before.begin();
    auto right = after.begin();
    // Mostly they are the same, in the same order.
    for (; left != before.end() && right != after.end() && left->first == right->first;
         ++left, ++right) {
      CompareAt(left->first, left->second, right->second);
    }
    if (left == before.end() && right == after.end()) return;
    const MemberIndex of_before(from), of_after(to);
    for (; left != before.end(); ++left) {
      const Json* const other = of_after.Find(left->first);
      if (other == nullptr) {
        Edit(Kind::kRemove, left->first, Json(nullptr));
      } else {
        CompareAt(left->first, left->second, *other);
      }
    }
    for (; right != after.end(); ++right) {
      if (of_before.Find(right->first) == nullptr) Edit(Kind::kAdd, right->first, right->second);
    }
  }

  // What makes an element the one it is where it has a name; "" where it has none, and is itself
  // what makes it.
  static std::string NameOf(const Json& element) {
    const std::string name = TextOf(element, "name");
    if (!name.empty()) return absl::StrCat("name ", name);
    const Json* const metadata = Find(element, "metadata");
    if (metadata == nullptr || TextOf(*metadata, "name").empty()) return "";
    return absl::StrCat("object ", TextOf(element, "kind"), " ", TextOf(*metadata, "namespace"),
                        "/", TextOf(*metadata, "name"));
  }

  // Whether these are one element, before and after.
  static bool SameElement(const Json& from, const Json& to) {
    const std::string name = NameOf(from);
    return name == NameOf(to) && (!name.empty() || SameJson(from, to));
  }

  // Elements of one list, by numbers that are the same where they are the same element.
  class Numbers {
   public:
    std::vector<size_t> Of(const Json& list, size_t begin, size_t end) {
      std::vector<size_t> numbers;
      for (size_t i = begin; i < end; ++i) {
        std::string key = NameOf(list[i]);
        if (key.empty()) key = ToText(list[i]);
        numbers.push_back(known_.emplace(std::move(key), known_.size()).first->second);
      }
      return numbers;
    }

   private:
    absl::flat_hash_map<std::string, size_t> known_;
  };

  void CompareElement(const Json& from, size_t i, const Json& to, size_t j) {
    // One without a name would not be the same if there was anything to change in it.
    if (!NameOf(from[i]).empty()) CompareAt(absl::StrCat(i), from[i], to[j]);
  }

  // From the end. Most lists differ in a few elements, so that what comes before and after those is
  // not looked at in pairs.
  void CompareElements(const Json& from, const Json& to) {
    size_t rows = from.size(), columns = to.size(), start = 0;
    while (start < rows && start < columns && SameElement(from[start], to[start])) ++start;
    const size_t edits_before = edits_.size();
    while (rows > start && columns > start && SameElement(from[rows - 1], to[columns - 1])) {
      CompareElement(from, --rows, to, --columns);
    }
    if (!CompareBetween(from, rows, to, columns, start)) {
      edits_.erase(edits_.begin() + static_cast<std::ptrdiff_t>(edits_before), edits_.end());
      edits_.push_back({Kind::kReplace, path_, to});
      return;
    }
    while (start > 0) {
      --start;
      CompareElement(from, start, to, start);
    }
  }

  // A longest common subsequence, from its end. False: it would take too long.
  bool CompareBetween(const Json& from, size_t from_end, const Json& to, size_t to_end,
                      size_t start) {
    const size_t rows = from_end - start, columns = to_end - start;
    if (rows > 0 && columns > (cells_left_ / rows)) return false;
    cells_left_ -= rows * columns;
    Numbers numbers;
    const std::vector<size_t> before = numbers.Of(from, start, from_end),
                              after = numbers.Of(to, start, to_end);
    std::vector<std::vector<size_t>> common;
    if (rows > 0 && columns > 0) common.assign(rows + 1, std::vector<size_t>(columns + 1, 0));
    for (size_t i = 1; i <= rows && columns > 0; ++i) {
      for (size_t j = 1; j <= columns; ++j) {
        common[i][j] = before[i - 1] == after[j - 1] ? common[i - 1][j - 1] + 1
                                                     : std::max(common[i - 1][j], common[i][j - 1]);
      }
    }
    size_t i = rows, j = columns;
    while (i > 0 || j > 0) {
      if (i > 0 && j > 0 && before[i - 1] == after[j - 1]) {
        --i, --j;
        CompareElement(from, start + i, to, start + j);
      } else if (j > 0 && (i == 0 || common[i][j - 1] >= common[i - 1][j])) {
        --j;
        Edit(Kind::kAdd, absl::StrCat(start + i), to[start + j]);
      } else {
        --i;
        Edit(Kind::kRemove, absl::StrCat(start + i), Json(nullptr));
      }
    }
    return true;
  }

  Path path_;
  size_t cells_left_ = kMaxCells;
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

void ApplyEdit(const JsonEdit& edit, size_t depth, Json* value) {
  for (; depth < edit.path.size(); ++depth) {
    const std::string& name = edit.path[depth];
    const bool last = depth + 1 == edit.path.size();
    if (value->is_array()) {
      auto& items = value->get_ref<Json::array_t&>();
      size_t index = 0;
      if (!absl::SimpleAtoi(name, &index)) return;
      if (last && edit.kind == Kind::kAdd && index <= items.size()) {
        items.insert(items.begin() + static_cast<std::ptrdiff_t>(index), edit.value);
        return;
      }
      if (index >= items.size()) return;
      if (last && edit.kind == Kind::kRemove) {
        items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
        return;
      }
      value = &items[index];
      continue;
    }
    if (last && edit.kind == Kind::kRemove) return Remove(value, name);
    if (last && edit.kind == Kind::kAdd && value->is_object()) (*value)[name] = edit.value;
    value = Find(value, name);
    if (value == nullptr) return;
  }
  if (edit.kind != Kind::kRemove) *value = edit.value;
}

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
