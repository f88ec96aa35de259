#include "common/config/command_line.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"

namespace byrnie {
namespace {

constexpr size_t kMaxConfigFile = 1024 * 1024;
constexpr size_t kHelpColumns = 100;

using FlagMap = std::map<std::string, absl::CommandLineFlag*>;

// Sorted, without those that Abseil brings along (--flagfile, --undefok, …): they read files and
// the environment in ways of their own.
FlagMap ProgramFlags() {
  FlagMap flags;
  for (const auto& entry : absl::GetAllFlags()) {
    absl::CommandLineFlag* flag = entry.second;
    if (flag->IsRetired() || absl::StrContains(flag->Filename(), "absl/flags/")) continue;
    flags.emplace(std::string(entry.first), flag);
  }
  return flags;
}

absl::CommandLineFlag* Find(const FlagMap& flags, absl::string_view name) {
  const auto it = flags.find(std::string(name));
  return it == flags.end() ? nullptr : it->second;
}

std::string OneLine(absl::string_view text) {
  std::string line = absl::StrReplaceAll(text, {{"\n", " "}, {"\r", " "}});
  absl::StripAsciiWhitespace(&line);
  return line;
}

absl::Status Set(absl::CommandLineFlag* flag, absl::string_view value) {
  std::string error;
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  // "Illegal value 'x' specified for flag 'y'; why"
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(error, absl::MaxSplits("; ", 1));
  const std::string why = OneLine(parts.second);
  return absl::InvalidArgumentError(absl::StrCat("flag --", flag->Name(), " cannot be \"", value,
                                                 "\"", why.empty() ? "" : ": ", why,
                                                 "; see --help"));
}

template <typename... Types>
bool IsAnyOf(const absl::CommandLineFlag& flag) {
  return (flag.IsOfType<Types>() || ...);
}

// The text that the flag's parser takes for `value`, whose type must fit the flag's.
absl::StatusOr<std::string> FlagText(const absl::CommandLineFlag& flag, const JsonValue& value) {
  if (flag.IsOfType<bool>()) {
    ASSIGN_OR_RETURN(const bool set, value.AsBool());
    return std::string(set ? "true" : "false");
  }
  if (IsAnyOf<short, unsigned short, int, unsigned int, long, unsigned long, long long,
              unsigned long long>(flag)) {
    ASSIGN_OR_RETURN(const int64_t number, value.AsInt(INT64_MIN, INT64_MAX));
    return absl::StrCat(number);
  }
  if (IsAnyOf<float, double>(flag)) {
    ASSIGN_OR_RETURN(const double number, value.AsDouble());
    return absl::StrCat(number);
  }
  if (flag.IsOfType<std::vector<std::string>>()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> list, value.AsStringArray());
    return absl::StrJoin(list, ",");
  }
  return value.AsString();
}

absl::Status ApplyConfig(const FlagMap& flags, const JsonValue& document) {
  ASSIGN_OR_RETURN(const JsonObject object, document.AsObject());
  for (const auto& member : object.Members()) {
    absl::CommandLineFlag* flag = Find(flags, member.first);
    if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown key \"", member.first, "\"; the keys are the flags of --help"));
    }
    ASSIGN_OR_RETURN(const std::string text, FlagText(*flag, member.second));
    RETURN_IF_ERROR(Set(flag, text));
  }
  return absl::OkStatus();
}

absl::Status LoadConfig(const FlagMap& flags, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigFile));
  absl::StatusOr<JsonValue> document = JsonValue::Parse(text, kMaxConfigFile);
  const absl::Status status = document.ok() ? ApplyConfig(flags, *document) : document.status();
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("--config ", path, ": ", status.message()));
}

void AppendWrapped(absl::string_view text, std::string* out) {
  constexpr absl::string_view kIndent = "      ";
  size_t column = 0;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (column > 0 && column + 1 + word.size() > kHelpColumns) {
      out->append("\n");
      column = 0;
    }
    absl::StrAppend(out, column == 0 ? kIndent : absl::string_view(" "), word);
    column += (column == 0 ? kIndent.size() : 1) + word.size();
  }
  out->append("\n");
}

std::string Help(const FlagMap& flags, const ProgramInfo& program) {
  std::string text =
      absl::StrCat(program.name, " ", kRelease, "\n", program.summary, "\n\nUsage: ", program.name,
                   " [flags]", program.arguments.empty() ? "" : " ", program.arguments, "\n\n");
  absl::StrAppend(&text, "Flags, with their defaults:\n");
  for (const auto& entry : flags) {
    absl::StrAppend(&text, "  --", entry.first, "=", entry.second->DefaultValue(), "\n");
    AppendWrapped(entry.second->Help(), &text);
  }
  absl::StrAppend(&text, "  --config=FILE\n");
  AppendWrapped("A JSON object whose keys are the flags above; the command line wins.", &text);
  absl::StrAppend(&text, "  --version\n      Prints the release.\n");
  absl::StrAppend(&text, "  --help\n      Prints this.\n");
  return text;
}

absl::Status UnknownFlag(absl::string_view arg, const ProgramInfo& program) {
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag ", arg, "; run ", program.name, " --help for the list"));
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args,
                                             const ProgramInfo& program) {
  const FlagMap flags = ProgramFlags();
  CommandLine result;
  absl::optional<std::string> config;
  std::vector<std::pair<absl::CommandLineFlag*, std::string>> settings;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--") {
      result.arguments.insert(result.arguments.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (arg == "-h" || arg == "--help") {
      result.print_and_exit = Help(flags, program);
      return result;
    }
    if (arg == "--version") {
      result.print_and_exit = absl::StrCat(program.name, " ", kRelease, "\n");
      return result;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      result.arguments.emplace_back(arg);
      continue;
    }
    if (!absl::StartsWith(arg, "--")) return UnknownFlag(arg, program);
    const size_t equals = arg.find('=');
    const absl::string_view name = arg.substr(2, equals == arg.npos ? arg.npos : equals - 2);
    const bool is_config = name == "config";
    absl::CommandLineFlag* flag = Find(flags, name);
    if (flag == nullptr && !is_config) {
      absl::string_view positive = name;
      flag = absl::ConsumePrefix(&positive, "no") ? Find(flags, positive) : nullptr;
      if (flag == nullptr || !flag->IsOfType<bool>() || equals != arg.npos) {
        return UnknownFlag(arg.substr(0, equals), program);
      }
      settings.emplace_back(flag, "false");
      continue;
    }
    std::string value;
    if (equals != arg.npos) {
      value = std::string(arg.substr(equals + 1));
    } else if (flag != nullptr && flag->IsOfType<bool>()) {
      value = "true";
    } else if (i + 1 < args.size()) {
      value = args[++i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("flag --", name, " needs a value; see --help"));
    }
    if (is_config) {
      config = std::move(value);
    } else {
      settings.emplace_back(flag, std::move(value));
    }
  }
  if (!result.arguments.empty() && program.arguments.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("unexpected argument \"", result.arguments[0],
                                                   "\"; run ", program.name, " --help"));
  }
  if (config) RETURN_IF_ERROR(LoadConfig(flags, *config));
  for (const auto& setting : settings) RETURN_IF_ERROR(Set(setting.first, setting.second));
  return result;
}

std::vector<std::string> ParseCommandLineOrExit(int argc, char** argv, const ProgramInfo& program) {
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  absl::StatusOr<CommandLine> command_line = ParseCommandLine(args, program);
  if (!command_line.ok()) ExitWithError(program.name, command_line.status());
  if (!command_line->print_and_exit.empty()) {
    std::fputs(command_line->print_and_exit.c_str(), stdout);
    std::exit(0);
  }
  return std::move(command_line->arguments);
}

std::string FormatError(absl::string_view program, const absl::Status& status) {
  return absl::StrCat(program, ": error: ", OneLine(status.message()));
}

void ExitWithError(absl::string_view program, const absl::Status& status) {
  std::fprintf(stderr, "%s\n", FormatError(program, status).c_str());
  std::exit(2);
}

}  // namespace byrnie
