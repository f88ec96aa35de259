#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/table.h"

namespace byrnie {
namespace {

// errno of the first thing that could not be written to stdout; 0: none. What a process has one of.
int output_error = 0;

int Tell(const absl::Status& status, int code) {
  // One line whatever the message quotes, and nothing that speaks to the terminal.
  std::fprintf(stderr, "byrniectl: error: %s\n", Printable(status.message()).c_str());
  return code;
}

}  // namespace

int Failed(const absl::Status& status) {
  if (OperatorClient::IsUnreachable(status)) return Tell(status, kUnreachable);
  const bool not_allowed = absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
  return Tell(status, not_allowed ? kNotAllowed : kProblem);
}

int NotReached(const absl::Status& status) { return Tell(status, kUnreachable); }

int BadUsage(const absl::Status& status) { return Tell(status, kUsage); }

void NoteMissing(const std::vector<MissingAnswer>& missing) {
  for (const MissingAnswer& one : missing) {
    std::fprintf(stderr,
                 "byrniectl: note: control plane at %s has not answered, what only it knows is "
                 "missing: %s\n",
                 one.target.c_str(), Printable(one.why).c_str());
  }
}

int Finish(ExitCode code, const std::vector<MissingAnswer>& missing) {
  NoteMissing(missing);
  return code == kDone && !missing.empty() ? kIncomplete : code;
}

int ReportDone(const CommandContext& context, const Deed& deed, absl::string_view line) {
  if (!context.json) {
    Print(line);
    return kDone;
  }
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Field("done", deed.done).Field("kind", deed.kind).Field("name", deed.name);
  for (const auto& [name, value] : deed.more) json.Field(name, value);
  json.EndObject();
  Print(std::move(json).Finish() + "\n");
  return kDone;
}

void Note(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

void Print(absl::string_view text) {
  // At once: what is only buffered is not written, and only now is it known why.
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written && output_error == 0) output_error = errno != 0 ? errno : EIO;
}

bool OutputWritten() { return output_error == 0; }

int Conclude(int code) {
  if (output_error == 0) return code;
  // Who reads a pipe and has seen enough, as head does, needs no message.
  if (output_error == EPIPE) return kProblem;
  return Tell(
      absl::UnavailableError(absl::StrCat("cannot write to stdout: ", std::strerror(output_error))),
      kProblem);
}

}  // namespace byrnie
