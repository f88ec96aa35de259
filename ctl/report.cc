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

int BadUsage(const absl::Status& status) { return Tell(status, kUsage); }

void Note(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

}  // namespace byrnie
