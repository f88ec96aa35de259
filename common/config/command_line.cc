#include "common/config/command_line.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/standard_descriptors.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"

ABSL_FLAG(std::string, config, "",
          "JSON file with an object whose keys are names of flags; flags on the command line win.");

namespace byrnie {
namespace {

constexpr size_t kMaxConfigSize = 1024 * 1024;
constexpr size_t kHelpColumns = 100;

// Flags that come with Abseil itself are not options of ours.
bool IsOurs(const absl::CommandLineFlag& flag) {
  const std::string file = flag.Filename();
  return !flag.IsRetired() && !absl::StrContains(file, "absl/") &&
         !absl::StrContains(file, "/absl") && !absl::StrContains(file, "abseil");
}

absl::CommandLineFlag* FindFlag(absl::string_view name) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag != nullptr && IsOurs(*flag) ? flag : nullptr;
}

// As it is typed: dashes stand for underscores, which no name of ours has beside a dash.
absl::CommandLineFlag* FindTypedFlag(absl::string_view name) {
  return FindFlag(absl::StrReplaceAll(name, {{"-", "_"}}));
}

absl::Status UnknownFlag(absl::string_view what, absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat("unknown ", what, " \"", name, "\"; see --help"));
}

absl::Status SetFlag(absl::CommandLineFlag* flag, absl::string_view value, absl::string_view what) {
  std::string error;
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("bad value \"", value, "\" for ", what, error.empty() ? "" : ": ", error,
                   flag->IsOfType<absl::Duration>()
                       ? "; a duration has units, h, m, s or ms, such as 36h or 1m30s"
                       : "",
                   "; its default is \"", flag->DefaultValue(), "\""));
}

// The text that a flag's own parser takes for a JSON value.
absl::StatusOr<std::string> FlagText(const JsonValue& value) {
  switch (value.type()) {
    case JsonValue::Type::kString:
      return value.AsString();
    case JsonValue::Type::kBool: {
      ASSIGN_OR_RETURN(const bool flag, value.AsBool());
      return std::string(flag ? "true" : "false");
    }
    case JsonValue::Type::kNumber: {
      ASSIGN_OR_RETURN(const int64_t number, value.AsInt(INT64_MIN, INT64_MAX));
      return absl::StrCat(number);
    }
    case JsonValue::Type::kArray: {
      ASSIGN_OR_RETURN(const std::vector<std::string> items, value.AsStringArray());
      return absl::StrJoin(items, ",");
    }
    default:
      return value.Error("expected a string, a number, a bool or an array of strings");
  }
}

absl::Status ApplyConfigFile(const std::string& path, const std::set<std::string>& given) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxConfigSize);
  if (!text.ok()) {
    return absl::Status(
        text.status().code(),
        absl::StrCat("--config: ", text.status().message(),
                     "; give a JSON file this user may read, or leave --config out"));
  }
  const auto apply = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const JsonValue document, JsonValue::Parse(*text, kMaxConfigSize));
    ASSIGN_OR_RETURN(const JsonObject object, document.AsObject());
    for (const auto& [name, value] : object.Members()) {
      absl::CommandLineFlag* const flag = FindFlag(name);
      if (flag == nullptr || name == "config") return UnknownFlag("field", name);
      ASSIGN_OR_RETURN(const std::string flag_text, FlagText(value));
      if (given.count(name) > 0) continue;
      RETURN_IF_ERROR(SetFlag(flag, flag_text, absl::StrCat("\"", name, "\"")));
    }
    return absl::OkStatus();
  };
  const absl::Status status = apply();
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("--config ", path, ": ", status.message()));
}

// Wraps `text` at kHelpColumns with `indent` before each line.
std::string Wrap(absl::string_view text, absl::string_view indent) {
  std::string out(indent);
  size_t column = indent.size();
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column > indent.size() && column + 1 + word.size() > kHelpColumns) {
      absl::StrAppend(&out, "\n", indent);
      column = indent.size();
    }
    if (column > indent.size()) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += word.size();
  }
  return out + "\n";
}

std::string FlagText(const absl::CommandLineFlag& flag, absl::string_view help) {
  const std::string value = flag.DefaultValue();
  return absl::StrCat("  --", flag.Name(), "=", value.empty() ? "\"\"" : value, "\n",
                      Wrap(help, "      "));
}

}  // namespace

std::string FlagsText(absl::Span<const absl::string_view> names) {
  std::string out;
  for (const absl::string_view name : names) {
    const absl::CommandLineFlag* const flag = FindFlag(name);
    if (flag != nullptr) absl::StrAppend(&out, FlagText(*flag, flag->Help()));
  }
  return out;
}

std::string FlagTextWith(absl::string_view name, absl::string_view help) {
  const absl::CommandLineFlag* const flag = FindFlag(name);
  return flag == nullptr ? "" : FlagText(*flag, help);
}

absl::StatusOr<CommandLine> ParseCommandLine(absl::Span<const char* const> args) {
  CommandLine result;
  std::set<std::string>& given = result.given;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--") {
      result.positional.insert(result.positional.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (arg == "--help" || arg == "-h" || arg == "--version") {
      result.action =
          arg == "--version" ? CommandLine::Action::kShowVersion : CommandLine::Action::kShowHelp;
      return result;
    }
    if (!absl::StartsWith(arg, "-") || arg == "-") {
      result.positional.emplace_back(arg);
      continue;
    }
    arg.remove_prefix(absl::StartsWith(arg, "--") ? 2 : 1);
    const size_t equals = arg.find('=');
    std::string name(arg.substr(0, equals));
    std::string value = equals == arg.npos ? "" : std::string(arg.substr(equals + 1));
    absl::CommandLineFlag* flag = FindTypedFlag(name);
    if (flag == nullptr && equals == arg.npos && absl::StartsWith(name, "no")) {
      flag = FindTypedFlag(absl::string_view(name).substr(2));
      if (flag != nullptr && !flag->IsOfType<bool>()) flag = nullptr;
      if (flag != nullptr) value = "false";
    } else if (flag != nullptr && equals == arg.npos) {
      if (flag->IsOfType<bool>()) {
        value = "true";
      } else if (i + 1 < args.size()) {
        value = args[++i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat("flag --", name, " needs a value"));
      }
    }
    if (flag == nullptr) return UnknownFlag("flag", absl::StrCat("--", name));
    name = std::string(flag->Name());
    if (!given.insert(name).second) {
      // A list may be given item by item.
      if (!flag->IsOfType<std::vector<std::string>>()) {
        return absl::InvalidArgumentError(absl::StrCat("flag --", name, " is given twice"));
      }
      const std::string before = flag->CurrentValue();
      if (!before.empty()) value = absl::StrCat(before, ",", value);
    }
    RETURN_IF_ERROR(SetFlag(flag, value, absl::StrCat("--", name)));
  }
  if (const std::string path = absl::GetFlag(FLAGS_config); !path.empty()) {
    RETURN_IF_ERROR(ApplyConfigFile(path, given));
  }
  return result;
}

std::string HelpText(const ProgramInfo& program) {
  std::map<std::string, const absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (IsOurs(*flag)) flags.emplace(std::string(name), flag);
  }
  std::string out = absl::StrCat(program.name, " ", kRelease, "\n", program.summary, "\n\n");
  if (!program.arguments.empty()) {
    absl::StrAppend(&out, "Usage: ", program.name, " [flags] ", program.arguments, "\n\n");
  }
  absl::StrAppend(&out, "Flags:\n");
  for (const auto& entry : flags) {
    absl::StrAppend(&out, FlagText(*entry.second, entry.second->Help()));
  }
  absl::StrAppend(&out, "  --help, --version\n",
                  Wrap("Shows this, or the release, and ends.", "      "));
  return out;
}

std::vector<std::string> ParseCommandLineOrExit(int argc, char** argv, const ProgramInfo& program) {
  OpenStandardDescriptors();
  absl::StatusOr<CommandLine> result = ParseCommandLine(
      absl::MakeConstSpan(argv + std::min(argc, 1), static_cast<size_t>(std::max(argc - 1, 0))));
  if (!result.ok()) ExitWithError(program.name, result.status());
  switch (result->action) {
    case CommandLine::Action::kShowHelp:
      std::fputs(HelpText(program).c_str(), stdout);
      std::exit(0);
    case CommandLine::Action::kShowVersion:
      std::puts(absl::StrCat(program.name, " ", kRelease).c_str());
      std::exit(0);
    case CommandLine::Action::kRun:
      break;
  }
  return std::move(result->positional);
}

void ExitWithError(absl::string_view program, const absl::Status& status) {
  // One line whatever the message quotes, so that scripts and people read the same thing.
  const std::string message = absl::StrReplaceAll(status.message(), {{"\n", "\\n"}, {"\r", "\\r"}});
  std::fputs(absl::StrCat(program, ": error: ", message, "\n").c_str(), stderr);
  std::exit(2);
}

}  // namespace byrnie
