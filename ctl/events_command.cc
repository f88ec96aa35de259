// events: what happened, and what happens.

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/status_macros.h"
#include "ctl/command.h"
#include "ctl/event_follower.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/fleet.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Responses = std::vector<v1::WatchEventsResponse>;

std::string KindText(v1::Event::Kind kind) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::Event::Kind_Name(kind), "KIND_"));
}

// With the control plane's name where that is not always the same one.
std::string ResponseText(const v1::WatchEventsResponse& response, bool of_several) {
  if (response.has_missed()) {
    const std::string who =
        of_several ? absl::StrCat(Printable(response.control_plane()), ": ") : "";
    if (response.missed().count() == 0) {
      return absl::StrCat("-- ", who,
                          "the control plane was started again: what was before is not known\n");
    }
    return absl::StrCat("-- ", who, Plural(response.missed().count(), "event"),
                        " not kept any more\n");
  }
  const v1::Event& event = response.event();
  return absl::StrCat(Rfc3339(event.time()), "  ", KindText(event.kind()), "  ",
                      Printable(event.subject()), "  ", Printable(event.message()),
                      event.actor().empty() ? "" : absl::StrCat("  by ", Printable(event.actor())),
                      of_several ? absl::StrCat("  at ", Printable(response.control_plane())) : "",
                      "\n");
}

// As the control plane writes them, HEX-NUMBER; what is in one is for it to say.
absl::Status CheckCursor(absl::string_view cursor) {
  const auto is_one_of = [](absl::string_view text, absl::string_view characters) {
    return !text.empty() && text.find_first_not_of(characters) == text.npos;
  };
  const std::vector<absl::string_view> parts = absl::StrSplit(cursor, '-');
  if (cursor.empty() || (parts.size() == 2 && is_one_of(parts[0], "0123456789abcdefABCDEF") &&
                         is_one_of(parts[1], "0123456789"))) {
    return absl::OkStatus();
  }
  return InFlag("cursor", absl::StrCat("\"", cursor,
                                       "\" is not the cursor of an event, which -o json shows; "
                                       "leave it out to begin with what is kept"));
}

absl::StatusOr<v1::WatchEventsRequest> ReadRequest() {
  v1::WatchEventsRequest request;
  RETURN_IF_ERROR(CheckCursor(absl::GetFlag(FLAGS_cursor)));
  request.set_cursor(absl::GetFlag(FLAGS_cursor));
  request.set_follow(absl::GetFlag(FLAGS_follow));
  for (absl::string_view name :
       absl::StrSplit(absl::GetFlag(FLAGS_kinds), ',', absl::SkipEmpty())) {
    v1::Event::Kind kind;
    if (!v1::Event::Kind_Parse(absl::StrCat("KIND_", absl::AsciiStrToUpper(name)), &kind)) {
      std::vector<std::string> known;
      for (int i = 1; i < v1::Event::Kind_ARRAYSIZE; ++i) {
        known.push_back(KindText(static_cast<v1::Event::Kind>(i)));
      }
      return InFlag("kinds",
                    absl::StrCat("\"", name, "\" is none of ", absl::StrJoin(known, ", ")));
    }
    request.add_kinds(kind);
  }
  return request;
}

void Show(const CommandContext& context, const v1::WatchEventsResponse& response) {
  Print(context.json ? MessageJsonLine(response)
                     : ResponseText(response, context.clients.size() > 1));
}

// What is kept at all of them, in the order in which it happened.
int ShowKept(const CommandContext& context, const v1::WatchEventsRequest& request) {
  const auto asked = AskFleet<Responses, OperatorClient>(
      context.clients, [&request](OperatorClient* client) -> absl::StatusOr<Responses> {
        Responses responses;
        RETURN_IF_ERROR(
            client->WatchEvents(request, [&responses](const v1::WatchEventsResponse& response) {
              responses.push_back(response);
              return true;
            }));
        return responses;
      });
  if (!asked.ok()) return Failed(asked.status());
  for (const v1::WatchEventsResponse& response : MergeEvents(asked->answers)) {
    Show(context, response);
  }
  return Finish(kDone, asked->missing);
}

Backoff::Options ReconnectBackoff() {
  Backoff::Options options;
  options.initial = absl::Milliseconds(500);
  options.max = absl::Seconds(5);
  options.jitter = 0.5;
  return options;
}

// One control plane of those that are followed, until it is of no use any more.
absl::Status FollowOne(const CommandContext& context, const v1::WatchEventsRequest& request,
                       OperatorClient* client, absl::Mutex* mu) {
  absl::BitGen random;
  EventFollower::Hooks hooks;
  bool again = false;
  hooks.watch = [client, &again](
                    const v1::WatchEventsRequest& from,
                    const std::function<bool(const v1::WatchEventsResponse&)>& on_response) {
    return client->WatchEvents(from, on_response, std::exchange(again, true));
  };
  hooks.reaches = [client] { return client->ConnectsWithin(OperatorClient::kTimeout); };
  hooks.show = [&context, mu](const v1::WatchEventsResponse& response) {
    absl::MutexLock lock(mu);
    Show(context, response);
    // It would go on for days for nobody. The other threads are in calls that have no other end.
    if (!OutputWritten()) std::_Exit(Conclude(kProblem));
  };
  hooks.on_broken = [client, mu](const absl::Status& why) {
    absl::MutexLock lock(mu);
    Note(absl::StrCat("byrniectl: note: no events from the control plane at ", client->target(),
                      ", trying again: ", Printable(why.message()), "\n"));
  };
  hooks.wait = absl::SleepFor;
  EventFollower follower(std::move(hooks), Backoff(ReconnectBackoff(), random));
  return follower.Run(request, /*patient=*/context.clients.size() > 1);
}

// Each on a thread, as it comes, until all have ended.
int Follow(const CommandContext& context, const v1::WatchEventsRequest& request) {
  absl::Mutex mu;
  std::vector<absl::Status> ended(context.clients.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < context.clients.size(); ++i) {
    threads.emplace_back([&context, &request, &mu, &ended, i] {
      ended[i] = FollowOne(context, request, context.clients[i], &mu);
      if (context.clients.size() == 1) return;
      // At once: the others may go on for days.
      absl::MutexLock lock(&mu);
      NoteMissing({{context.clients[i]->target(), std::string(ended[i].message())}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  return Failed(ended.front());
}

}  // namespace

absl::Status CheckEvents(const CommandContext&) { return ReadRequest().status(); }

int RunEvents(const CommandContext& context) {
  const absl::StatusOr<v1::WatchEventsRequest> request = ReadRequest();
  if (!request.ok()) return BadUsage(request.status());
  if (!request->cursor().empty() && context.clients.size() > 1) {
    return BadUsage(InFlag("cursor", "is of one control plane; give that one alone"));
  }
  return request->follow() ? Follow(context, *request) : ShowKept(context, *request);
}

}  // namespace byrnie
