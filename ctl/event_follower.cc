#include "ctl/event_follower.h"

#include <utility>

namespace byrnie {
namespace {

bool IsFinal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

}  // namespace

EventFollower::EventFollower(Hooks hooks, Backoff backoff)
    : hooks_(std::move(hooks)), backoff_(std::move(backoff)) {}

absl::Status EventFollower::Run(Request request, bool patient) {
  patient = patient || hooks_.reaches();
  bool came = false, said = false;
  // A gap before an event is told again with that event; one that was told and is followed by
  // nothing must not be told twice.
  bool gap_told = false;
  while (true) {
    const absl::Status status = hooks_.watch(request, [&](const Response& response) {
      came = true;
      said = false;
      backoff_.Reset();
      if (response.has_missed()) {
        if (!gap_told) hooks_.show(response);
        gap_told = true;
        return true;
      }
      gap_told = false;
      request.set_cursor(response.event().cursor());
      hooks_.show(response);
      return true;
    });
    if (IsFinal(status) || (!patient && !came && !status.ok())) return status;
    if (!said) {
      hooks_.on_broken(status.ok() ? absl::UnavailableError("the control plane ended the stream")
                                   : status);
    }
    said = true;
    hooks_.wait(backoff_.Next());
  }
}

}  // namespace byrnie
