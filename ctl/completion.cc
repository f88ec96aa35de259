#include "ctl/completion.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "ctl/command_table.h"

namespace byrnie {
namespace {

// What follows words of a command that are not a flag.
using FollowingWords = std::map<std::string, std::vector<std::string>>;

// A flag that is given by its name alone is not completed with "=": what follows would be missing.
std::string AsTyped(const std::string& flag) {
  const absl::CommandLineFlag* const found = absl::FindCommandLineFlag(flag);
  const bool alone = found != nullptr && found->IsOfType<bool>();
  return absl::StrCat("--", flag, alone ? "" : "=");
}

std::string EventKinds() {
  using Event = operator_::v1::Event;
  std::vector<std::string> kinds;
  for (int i = 1; i < Event::Kind_ARRAYSIZE; ++i) {
    const std::string& name = Event::Kind_Name(static_cast<Event::Kind>(i));
    kinds.push_back(absl::AsciiStrToLower(absl::StripPrefix(name, "KIND_")));
  }
  return absl::StrJoin(kinds, " ");
}

// The flags that have few values, as patterns and words of the shell.
std::string ValueCases() {
  const std::pair<const char*, std::string> values[] = {
      {"-o|--output", "text json"},
      {"--role", "viewer operator admin"},
      {"--step", "prepare distribute activate taint revoke"},
      {"--verdict", "allowed denied failed"},
      {"--kinds", EventKinds()},
      {"--overlay", "sqlite etcd"},
      {"--sidecars", "native classic"},
  };
  std::string cases;
  for (const auto& [flag, words] : values) {
    absl::StrAppend(&cases, "    ", flag, ") values=\"", words, "\" ;;\n");
  }
  return cases;
}

constexpr char kScript[] = R"bash(_byrniectl() {
  local word words=() current="${COMP_WORDS[COMP_CWORD]}" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    [[ "$word" == -* || "$word" == "=" || "${COMP_WORDS[i-1]}" == "=" ]] || words+=("$word")
  done
  COMPREPLY=()
  # A value: behind a flag, and its "=", which bash makes a word of its own.
  local flag="${COMP_WORDS[COMP_CWORD-1]}" value="$current" prefix="" values=""
  if [[ "$current" == "=" ]]; then
    value=""
  elif [[ "$flag" == "=" ]]; then
    flag="${COMP_WORDS[COMP_CWORD-2]}"
  elif [[ "$current" == --*=* ]]; then
    flag="${current%%=*}" value="${current#*=}" prefix="${current%%=*}="
  fi
  case "$flag" in
@VALUES@  esac
  if [[ -n "$values" ]]; then
    COMPREPLY=($(compgen -P "$prefix" -W "$values" -- "$value"))
    return
  fi
  if [[ "$current" == -* ]]; then
    local flags="$(_byrniectl_flags "${words[0]} ${words[1]}")"
    [[ -n "$flags" ]] || flags="$(_byrniectl_flags "${words[0]}")"
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
    [[ "${COMPREPLY[0]}" == *= ]] && compopt -o nospace 2>/dev/null
    return
  fi
  case "${words[*]}" in
@WORDS@  esac
}
complete -o default -F _byrniectl byrniectl
)bash";

}  // namespace

absl::StatusOr<std::string> CompletionScript(absl::string_view shell) {
  if (shell != "bash" && shell != "zsh") {
    return absl::InvalidArgumentError(absl::StrCat("\"", shell, "\" is neither bash nor zsh"));
  }
  FollowingWords following = {{"completion", {"bash", "zsh"}},
                              {"proxy log", {"error", "warning", "info", "debug"}}};
  std::string flags;
  for (const Command& command : Commands()) {
    const std::vector<std::string> path = absl::StrSplit(command.path, ' ');
    if (!absl::c_linear_search(following[""], path[0])) following[""].push_back(path[0]);
    if (path.size() > 1) following[path[0]].push_back(path[1]);
    absl::StrAppend(&flags, "    \"", command.path, "\") echo \"--help");
    for (const std::string& name : FlagsOf(command)) absl::StrAppend(&flags, " ", AsTyped(name));
    absl::StrAppend(&flags, "\" ;;\n");
  }
  following["help"] = following[""];
  std::string words;
  for (const auto& [before, after] : following) {
    absl::StrAppend(&words, "    \"", before, "\") COMPREPLY=($(compgen -W \"",
                    absl::StrJoin(after, " "), "\" -- \"$current\")) ;;\n");
  }
  std::string script;
  if (shell == "zsh") {
    // Without compinit nothing can be completed, and bashcompinit fails.
    script =
        "whence compdef >/dev/null || { autoload -U +X compinit && compinit -i; }\n"
        "autoload -U +X bashcompinit && bashcompinit\n";
  }
  return absl::StrCat(
      script, "_byrniectl_flags() {\n  case \"$1\" in\n", flags, "  esac\n}\n",
      absl::StrReplaceAll(kScript, {{"@VALUES@", ValueCases()}, {"@WORDS@", words}}));
}

}  // namespace byrnie
