#include "deploy/injector/manifest.h"

#include <cstddef>
#include <functional>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "deploy/injector/json.h"
#include "deploy/injector/workload.h"
#include "deploy/injector/yaml_edit.h"
#include "deploy/injector/yaml_reader.h"

namespace byrnie {
namespace {

constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

struct Document {
  YamlNode root;
  Json from, to;
  bool rewrite = false;
  // The new text has fewer of them.
  bool aliases_lost = false;
};

// The text with all documents that change, and whether it reads as it should.
std::string Write(absl::string_view text, std::vector<Document>* documents) {
  YamlLines lines(text);
  for (size_t i = 0; i < documents->size(); ++i) {
    Document& document = (*documents)[i];
    if (SameJson(document.from, document.to)) continue;
    document.rewrite = document.rewrite || !lines.Change(document.root, document.from, document.to);
    const YamlNode* const next = i + 1 < documents->size() ? &(*documents)[i + 1].root : nullptr;
    if (document.rewrite) lines.Rewrite(document.root, next, document.to);
  }
  return lines.Text();
}

// All documents, with nothing kept of how they were written.
std::string WriteAnew(const std::vector<Document>& documents) {
  std::string text;
  for (const Document& document : documents) {
    absl::StrAppend(&text, "---\n", WriteYaml(document.to));
  }
  return text;
}

// How many comments of a kind there are, by what they say. One within a text of several lines
// counts as well: it is there before and after.
std::map<std::string, int> CommentsIn(absl::string_view text) {
  std::map<std::string, int> comments;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    char quote = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      const bool after_space = i == 0 || absl::ascii_isspace(line[i - 1]);
      if (quote == 0 && c == '#' && after_space) {
        ++comments[std::string(absl::StripAsciiWhitespace(line.substr(i)))];
        break;
      }
      // A quote that is part of a plain text, as in "it's", begins none.
      const bool begins = after_space || line[i - 1] == '[' || line[i - 1] == '{' ||
                          line[i - 1] == ',' || line[i - 1] == ':';
      if (quote == 0 ? (begins && (c == '\'' || c == '"')) : c == quote) quote = quote == 0 ? c : 0;
    }
  }
  return comments;
}

// What was on lines that have changed and cannot be kept there: "", or for people.
std::string LostComments(absl::string_view before, absl::string_view after) {
  const std::map<std::string, int> now = CommentsIn(after);
  std::vector<std::string> lost;
  for (const auto& [comment, count] : CommentsIn(before)) {
    const auto found = now.find(comment);
    if (found == now.end() || found->second < count) lost.push_back(Shortened(comment, 60));
  }
  if (lost.empty()) return "";
  constexpr size_t kNamed = 3;
  const bool more = lost.size() > kNamed;
  if (more) lost.resize(kNamed);
  return absl::StrCat("comments of lines that change are gone: ", absl::StrJoin(lost, ", "),
                      more ? ", ..." : "");
}

int AliasesIn(const YamlNode& node) {
  int count = node.alias ? 1 : 0;
  // What it stands for is elsewhere, and is counted there.
  if (node.alias) return count;
  for (const YamlNode& child : node.children) count += AliasesIn(child);
  return count;
}

// Marks the documents that do not; false when it cannot be said which.
bool Verify(const std::string& text, std::vector<Document>* documents, bool* good) {
  *good = false;
  const absl::StatusOr<std::vector<YamlNode>> nodes = ReadYaml(text);
  if (!nodes.ok() || nodes->size() != documents->size()) return false;
  *good = true;
  for (size_t i = 0; i < nodes->size(); ++i) {
    const absl::StatusOr<Json> json = YamlToJson((*nodes)[i]);
    Document& document = (*documents)[i];
    document.aliases_lost = AliasesIn((*nodes)[i]) < AliasesIn(document.root);
    if (json.ok() && SameJson(*json, document.to)) continue;
    (*documents)[i].rewrite = true;
    *good = false;
  }
  return true;
}

// Tells of what is no longer there, where documents are changed one by one.
void NoteLosses(const std::vector<Document>& documents, absl::string_view before,
                absl::string_view after, std::vector<std::string>* notes) {
  bool rewritten = false;
  for (const Document& document : documents) {
    if (document.rewrite && !document.root.flow && !SameJson(document.from, document.to)) {
      notes->push_back(absl::StrCat("the document at line ", document.root.line + 1,
                                    " is written anew, without its comments"));
      rewritten = true;
    } else if (document.aliases_lost) {
      notes->push_back(absl::StrCat("the document at line ", document.root.line + 1,
                                    ": an alias of what changes is written out"));
    }
  }
  const std::string lost = rewritten ? "" : LostComments(before, after);
  if (!lost.empty()) notes->push_back(lost);
}

// Changes objects, by `change`, which adds notes and may be called once for each.
using Changer = std::function<absl::Status(Json* object, ManifestResult* result)>;

absl::StatusOr<ManifestResult> ChangeManifest(absl::string_view whole, const Changer& change) {
  if (whole.size() > kMaxManifest) {
    return absl::InvalidArgumentError(absl::StrCat("longer than ", kMaxManifest, " bytes"));
  }
  absl::string_view text = whole;
  const bool marked = absl::ConsumePrefix(&text, kByteOrderMark);
  ManifestResult result;
  result.text = std::string(whole);
  ASSIGN_OR_RETURN(std::vector<YamlNode> nodes, ReadYaml(text));
  std::vector<Document> documents;
  bool changed = false;
  for (YamlNode& node : nodes) {
    Document document;
    ASSIGN_OR_RETURN(document.from, YamlToJson(node));
    document.root = std::move(node);
    document.to = document.from;
    if (document.to.is_object()) RETURN_IF_ERROR(change(&document.to, &result));
    changed = changed || !SameJson(document.from, document.to);
    documents.push_back(std::move(document));
  }
  if (!changed) return result;
  std::string written = Write(text, &documents);
  bool good = false;
  if (!Verify(written, &documents, &good)) {
    for (Document& document : documents) document.rewrite = true;
  }
  if (!good) {
    written = Write(text, &documents);
    Verify(written, &documents, &good);
  }
  if (good) {
    NoteLosses(documents, text, written, &result.notes);
  } else {
    // What was to stay reads otherwise where what is before it has changed.
    written = WriteAnew(documents);
    Verify(written, &documents, &good);
    result.notes.push_back("the whole text is written anew, without its comments");
  }
  if (!good) return absl::InternalError("the new text does not read as it should");
  result.text = absl::StrCat(marked ? kByteOrderMark : "", written);
  return result;
}

std::string NoteOf(const WorkloadOutcome& outcome) {
  const char* const taken_out = outcome.pod.taken_out ? "the sidecar it had is taken out, " : "";
  switch (outcome.pod.kind) {
    case PodOutcome::Kind::kInjected:
      return absl::StrCat(outcome.name, ": injected");
    case PodOutcome::Kind::kUpdated:
      return absl::StrCat(outcome.name, ": sidecar updated");
    case PodOutcome::Kind::kUnchanged:
      return absl::StrCat(outcome.name, ": unchanged, injected before");
    case PodOutcome::Kind::kOptedOut:
      return absl::StrCat(outcome.name, ": not injected, ", taken_out, outcome.pod.why);
    case PodOutcome::Kind::kRefused:
      return absl::StrCat(outcome.name, ": NOT injected, ", taken_out, outcome.pod.why);
  }
  return outcome.name;
}

}  // namespace

absl::StatusOr<ManifestResult> InjectManifest(const InjectorConfig& config,
                                              absl::string_view text) {
  return ChangeManifest(text, [&config](Json* object, ManifestResult* result) {
    absl::StatusOr<std::vector<WorkloadOutcome>> outcomes = InjectObject(config, object);
    RETURN_IF_ERROR(outcomes.status());
    for (const std::string& name : UnknownMakers(*object)) {
      result->notes.push_back(
          absl::StrCat(name,
                       ": of no kind that is known here, left as it is: unless the webhook injects "
                       "its pods they are not meshed"));
      result->refused = true;
    }
    for (const WorkloadOutcome& outcome : *outcomes) {
      result->refused = result->refused || outcome.pod.kind == PodOutcome::Kind::kRefused;
      result->notes.push_back(NoteOf(outcome));
      for (const std::string& warning : outcome.pod.warnings) {
        result->notes.push_back(absl::StrCat(outcome.name, ": warning: ", warning));
      }
      // The webhook comes after they have been added; here it is the other way round.
      if (outcome.pod.first_pull_secrets) {
        result->notes.push_back(absl::StrCat(
            outcome.name,
            ": warning: it has imagePullSecrets now, so that the API server does not add those of "
            "its service account: name them in the manifest where it needs them"));
      }
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<ManifestResult> UninjectManifest(absl::string_view text) {
  return ChangeManifest(text, [](Json* object, ManifestResult* result) {
    const absl::StatusOr<std::vector<std::string>> changed = UninjectObject(object);
    RETURN_IF_ERROR(changed.status());
    for (const std::string& name : *changed) {
      result->notes.push_back(absl::StrCat(name, ": sidecar taken out"));
    }
    return absl::OkStatus();
  });
}

}  // namespace byrnie
