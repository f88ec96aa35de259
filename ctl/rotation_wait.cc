#include "ctl/rotation_wait.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(1);
constexpr int kBlockersShown = 3;

std::string SigningRoot(const v1::Trust& trust) {
  for (const v1::Root& root : trust.roots()) {
    if (root.signs()) return root.fingerprint();
  }
  return "";
}

}  // namespace

std::string RotationLine(const v1::Trust& trust) {
  if (trust.step().empty()) return "no rotation is under way";
  std::string line = absl::StrCat(Printable(trust.step()), " since ", Rfc3339(trust.since()),
                                  "; next: ", Printable(trust.move()));
  const int shown = std::min(trust.blockers_size(), kBlockersShown);
  for (int i = 0; i < shown; ++i) {
    const v1::TrustBlocker& blocker = trust.blockers(i);
    absl::StrAppend(&line, i == 0 ? ", kept back by " : ", ", Printable(blocker.agent()),
                    blocker.address().empty() ? "" : " at ", Printable(blocker.address()), " (",
                    Printable(blocker.reason()), ")");
  }
  if (trust.blockers_size() > shown) {
    absl::StrAppend(&line, " and ", trust.blockers_size() - shown,
                    " more (byrniectl trust status)");
  }
  return line;
}

absl::StatusOr<RotationEnd> WaitForRotation(const RotationWait& wait, absl::Duration timeout,
                                            v1::Trust* trust) {
  const absl::Time deadline = wait.now() + timeout;
  const std::string old_root = SigningRoot(*trust);
  std::string step, said;
  const auto say = [&](std::string line) {
    if (line != said) wait.say(line);
    said = std::move(line);
  };
  while (true) {
    // The last step before none tells a rotation that was made from one that was taken back; one
    // that went by unseen has left another root.
    if (trust->step().empty()) {
      const bool made = step == "active" || step == "tainted" || SigningRoot(*trust) != old_root;
      return made ? RotationEnd::kOver : RotationEnd::kStopped;
    }
    step = trust->step();
    say(RotationLine(*trust));
    if (!trust->automatic()) return RotationEnd::kStopped;
    const absl::Time now = wait.now();
    if (now >= deadline) return RotationEnd::kHeldUp;
    wait.sleep(std::min(kLookEvery, deadline - now));
    absl::StatusOr<v1::Trust> next = wait.look();
    while (!next.ok()) {
      if (!wait.passes(next.status())) return next.status();
      say(Printable(next.status().message()));
      const absl::Time again = wait.now();
      if (again >= deadline) return RotationEnd::kHeldUp;
      wait.sleep(std::min(kLookEvery, deadline - again));
      next = wait.look();
    }
    *trust = *std::move(next);
  }
}

}  // namespace byrnie
