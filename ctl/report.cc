#include <cstdio>

#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/table.h"

namespace byrnie {
namespace {

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

void Note(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

}  // namespace byrnie
