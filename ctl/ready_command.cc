// ready: what a pod's containers ask of each other, for want of a shell.

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/http_get.h"
#include "ctl/table.h"

namespace byrnie {
namespace {

constexpr absl::Duration kPageTimeout = absl::Seconds(4);
constexpr absl::Duration kPause = absl::Milliseconds(100);

// OK when it is as wanted; else why not.
absl::Status Look(const SocketAddress& address, const std::string& path, bool gone) {
  const absl::StatusOr<HttpPage> page = HttpGet(address, path, kPageTimeout);
  if (gone) {
    // Only when nobody listens; one that is slow is there.
    return absl::IsUnavailable(page.status()) ? absl::OkStatus()
                                              : absl::FailedPreconditionError("it is still there");
  }
  if (!page.ok()) return page.status();
  if (page->status == 200) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("not ready: ", Printable(absl::StripSuffix(page->body, "\n"))));
}

}  // namespace

int RunReady(const CommandContext&) {
  const std::string text = absl::GetFlag(FLAGS_admin);
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (!address.ok()) {
    return BadUsage(InFlag("admin", absl::StrCat("\"", text, "\" is not IP:PORT")));
  }
  const std::string path = absl::GetFlag(FLAGS_started) ? "/healthz/started" : "/healthz/ready";
  SystemClock clock;
  const absl::Duration end = clock.MonotonicNow() + absl::GetFlag(FLAGS_within);
  for (;;) {
    const absl::Status found = Look(*address, path, absl::GetFlag(FLAGS_gone));
    if (found.ok()) return kDone;
    if (clock.MonotonicNow() >= end) {
      // What went wrong with a connection has the address in front.
      const bool named = absl::StartsWith(found.message(), address->ToString());
      std::fprintf(stderr, "byrniectl: error: %s%s\n",
                   named ? "" : absl::StrCat(address->ToString(), ": ").c_str(),
                   std::string(found.message()).c_str());
      return absl::IsFailedPrecondition(found) ? kProblem : kUnreachable;
    }
    absl::SleepFor(kPause);
  }
}

}  // namespace byrnie
