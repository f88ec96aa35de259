#include "controlplane/trust/rotation_steps.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/utc_text.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {
namespace {

// Within that every process has heard of a step: what it does until then it may do as before.
constexpr absl::Duration kPropagation = absl::Seconds(5);

// Where a record stands, for messages.
std::string StandingOf(const TrustRecord& record) {
  if (!record.rotation.has_value()) return "no rotation is under way";
  return absl::StrCat("the rotation is at \"", RotationStepName(record.rotation->step), "\"");
}

// The move forward from a step.
RotationMove MoveFrom(RotationStep step) {
  switch (step) {
    case RotationStep::kPrepared:
      return RotationMove::kDistribute;
    case RotationStep::kDistributed:
      return RotationMove::kActivate;
    case RotationStep::kActive:
      return RotationMove::kTaint;
    case RotationStep::kTainted:
      return RotationMove::kRevoke;
  }
  return RotationMove::kRollback;
}

// Collects what keeps a move back, but for who was excluded from it.
class Blockers {
 public:
  Blockers(const RotationRecord& rotation, RotationMove move, absl::Time now)
      : rotation_(rotation), move_(move), now_(now) {}

  void Add(const std::string& agent, const std::string& address, std::string reason,
           absl::Time until = absl::InfiniteFuture()) {
    if (until <= now_) return;
    RotationBlocker blocker{agent, address, std::move(reason), until};
    if (!Excluded(blocker)) found_.push_back(std::move(blocker));
  }

  std::vector<RotationBlocker> Take() && {
    std::sort(found_.begin(), found_.end(), [](const RotationBlocker& a, const RotationBlocker& b) {
      return std::tie(a.agent, a.address, a.until) < std::tie(b.agent, b.address, b.until);
    });
    return std::move(found_);
  }

 private:
  // The step is looked at for records of before `over` was written.
  bool Excluded(const RotationBlocker& blocker) const {
    return std::any_of(rotation_.exclusions.begin(), rotation_.exclusions.end(),
                       [&](const RotationExclusion& exclusion) {
                         return !exclusion.over && exclusion.step == rotation_.step &&
                                MoveOf(exclusion) == move_ &&
                                NamesBlocker(exclusion.agent, blocker);
                       });
  }

  const RotationRecord& rotation_;
  const RotationMove move_;
  const absl::Time now_;
  std::vector<RotationBlocker> found_;
};

void AddControlPlanes(const FleetView& fleet, Blockers* blockers) {
  for (const FleetView::ControlPlane& other : fleet.control_planes) {
    blockers->Add(other.agent, "", other.reason, other.until);
  }
}

void AddThoseWithoutFile(const FleetView& fleet, Blockers* blockers) {
  for (const FleetView::ControlPlane& without : fleet.without_file) {
    blockers->Add(without.agent, "", without.reason);
  }
}

void AddOtherClocks(const FleetView& fleet, Blockers* blockers) {
  for (const FleetView::ControlPlane& other : fleet.control_planes) {
    if (other.other_clock) blockers->Add(other.agent, "", other.reason, other.until);
  }
}

void AddThoseWithoutNextRoot(const FleetView& fleet, Blockers* blockers) {
  for (const FleetView::Agent& agent : fleet.agents) {
    if (agent.trusts_next) continue;
    blockers->Add(agent.id, agent.address,
                  "is connected and has not acknowledged a trust bundle with the next root");
  }
}

// Those issued up to `issued` that a process started later knows nothing of.
void AddUnknown(const TrustRecord& record, const FleetView& fleet, absl::Time issued,
                absl::string_view what, Blockers* blockers) {
  if (fleet.complete_since == absl::InfinitePast()) return;
  const absl::Time until = LatestEnd(record, std::min(issued + kPropagation, fleet.complete_since));
  blockers->Add(
      std::string(kUnknownAgents), "",
      absl::StrCat("certificates issued before ", UtcText(fleet.complete_since),
                   ", whose holders are not known, may ", what, " until ", UtcText(until)),
      until);
}

void AddActivationBlockers(const TrustRecord& record, const FleetView& fleet, Blockers* blockers) {
  AddControlPlanes(fleet, blockers);
  AddThoseWithoutFile(fleet, blockers);
  AddThoseWithoutNextRoot(fleet, blockers);
  const absl::Time distributed = *record.rotation->distributed_at;
  for (const FleetView::Certificate& certificate : fleet.absent) {
    // Of one whose holder is connected it is enough to say that.
    if (certificate.trusts_next || !certificate.address.empty()) continue;
    blockers->Add(certificate.id, "",
                  absl::StrCat("is not connected and holds a certificate, issued before the next "
                               "root was distributed, until ",
                               UtcText(certificate.not_after)),
                  certificate.not_after);
  }
  AddUnknown(record, fleet, distributed, "be held by agents without the next root", blockers);
}

// Of everybody with a certificate of `root`, which signs no more since `signed_until`.
void AddHoldersOf(const TrustRecord& record, const RootRecord& root, absl::Time signed_until,
                  const FleetView& fleet, Blockers* blockers) {
  for (const FleetView::Agent& agent : fleet.agents) {
    if (agent.root != root.id) continue;
    blockers->Add(agent.id, agent.address,
                  absl::StrCat("is connected with a certificate of root ",
                               ShortFingerprint(root.id), ", until ", UtcText(agent.not_after)),
                  agent.not_after);
  }
  for (const FleetView::Certificate& certificate : fleet.absent) {
    if (certificate.root != root.id) continue;
    blockers->Add(
        certificate.id, certificate.address,
        absl::StrCat(certificate.address.empty()
                         ? "is not connected and holds a certificate of root "
                         : "has renewed and may still use a certificate of root ",
                     ShortFingerprint(root.id), ", until ", UtcText(certificate.not_after)),
        certificate.not_after);
  }
  AddUnknown(record, fleet, signed_until, absl::StrCat("be of root ", ShortFingerprint(root.id)),
             blockers);
}

void AddOpenConnections(const TrustRecord& record, Blockers* blockers) {
  const absl::Time until = LatestEnd(record, *record.rotation->activated_at + kPropagation);
  blockers->Add(std::string(kOpenConnections), "",
                absl::StrCat("made with certificates of root ", ShortFingerprint(record.current.id),
                             " may be open until ", UtcText(until)),
                until);
}

}  // namespace

std::string ControlPlaneAgent(absl::string_view name) {
  return absl::StrCat("controlplane:", name);
}

// No name has a "/".
std::string ControlPlaneFileAgent(absl::string_view name) {
  return absl::StrCat(ControlPlaneAgent(name), "/trust_bundle_out");
}

absl::string_view RotationMoveName(RotationMove move) {
  switch (move) {
    case RotationMove::kPrepare:
      return "prepare";
    case RotationMove::kDistribute:
      return "distribute";
    case RotationMove::kActivate:
      return "activate";
    case RotationMove::kTaint:
      return "taint";
    case RotationMove::kRevoke:
      return "revoke";
    case RotationMove::kRollback:
      return "rollback";
  }
  return "unknown";
}

absl::StatusOr<RotationMove> ParseRotationMove(absl::string_view name) {
  for (RotationMove move :
       {RotationMove::kPrepare, RotationMove::kDistribute, RotationMove::kActivate,
        RotationMove::kTaint, RotationMove::kRevoke, RotationMove::kRollback}) {
    if (RotationMoveName(move) == name) return move;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", name, "\" is not prepare, distribute, activate, taint, revoke or rollback"));
}

TrustEffect EffectOf(const TrustRecord& record) {
  const RootRecord* const current = &record.current;
  TrustEffect effect{current, current, {current}, nullptr};
  if (!record.rotation.has_value()) return effect;
  const RotationRecord& rotation = *record.rotation;
  const RootRecord* const next = &rotation.next;
  if (rotation.step >= RotationStep::kDistributed) effect.trusted.push_back(next);
  switch (rotation.step) {
    case RotationStep::kPrepared:
      break;
    case RotationStep::kDistributed:
      if (rotation.signed_until.has_value()) effect.tainted = next;
      break;
    case RotationStep::kActive:
      effect.signer = next;
      break;
    case RotationStep::kTainted:
      effect.signer = next;
      effect.tainted = current;
      break;
  }
  return effect;
}

RotationMove NextMove(const TrustRecord& record) {
  return record.rotation.has_value() ? MoveFrom(record.rotation->step) : RotationMove::kPrepare;
}

RotationMove MoveOf(const RotationExclusion& exclusion) {
  return exclusion.rollback ? RotationMove::kRollback : MoveFrom(exclusion.step);
}

// No name of an agent has an "@". The port is another one at each connection.
bool NamesBlocker(absl::string_view agent, const RotationBlocker& blocker) {
  if (agent == blocker.agent) return true;
  if (blocker.address.empty() || !absl::ConsumePrefix(&agent, blocker.agent)) return false;
  const absl::string_view address = blocker.address;
  return absl::ConsumePrefix(&agent, "@") && agent == address.substr(0, address.rfind(':'));
}

absl::Status CheckTurn(const TrustRecord& record, RotationMove move) {
  if (move == RotationMove::kRollback) {
    if (record.rotation.has_value()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "no rotation is under way, so there is nothing to roll back; a finished one is undone by "
        "another rotation");
  }
  if (move == NextMove(record)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(StandingOf(record), "; what comes next is ",
                                                    RotationMoveName(NextMove(record)), ", not ",
                                                    RotationMoveName(move)));
}

std::vector<RotationBlocker> BlockersOf(const TrustRecord& record, RotationMove move,
                                        const FleetView& fleet, absl::Time now) {
  if (!record.rotation.has_value()) return {};
  const RotationRecord& rotation = *record.rotation;
  Blockers blockers(rotation, move, now);
  switch (move) {
    case RotationMove::kPrepare:
      break;
    case RotationMove::kDistribute:
    case RotationMove::kTaint:
      AddOtherClocks(fleet, &blockers);
      break;
    case RotationMove::kActivate:
      AddActivationBlockers(record, fleet, &blockers);
      break;
    case RotationMove::kRevoke:
      AddControlPlanes(fleet, &blockers);
      AddThoseWithoutFile(fleet, &blockers);
      AddThoseWithoutNextRoot(fleet, &blockers);
      AddHoldersOf(record, record.current, *rotation.activated_at, fleet, &blockers);
      if (rotation.automatic) AddOpenConnections(record, &blockers);
      break;
    case RotationMove::kRollback:
      if (rotation.step == RotationStep::kDistributed && rotation.signed_until.has_value()) {
        AddControlPlanes(fleet, &blockers);
        AddHoldersOf(record, rotation.next, *rotation.signed_until, fleet, &blockers);
      }
      break;
  }
  return std::move(blockers).Take();
}

std::string ConsequenceOf(const TrustRecord& record, RotationMove move) {
  const std::string current = ShortFingerprint(record.current.id);
  const std::string next =
      record.rotation.has_value() ? ShortFingerprint(record.rotation->next.id) : "";
  switch (move) {
    case RotationMove::kPrepare:
      return "makes a new root and its key; nobody trusts it yet";
    case RotationMove::kDistribute:
      return absl::StrCat("publishes root ", next, " beside ", current,
                          "; nothing is signed with it yet");
    case RotationMove::kActivate:
      return absl::StrCat("signs with root ", next, " from now on; certificates of ", current,
                          " stay good");
    case RotationMove::kTaint:
      return absl::StrCat("tells agents to renew certificates of root ", current,
                          " now; they stay good");
    case RotationMove::kRevoke:
      return absl::StrCat("takes root ", current, " out of all bundles and destroys its key; ",
                          "certificates of it are refused, and this cannot be rolled back");
    case RotationMove::kRollback:
      break;
  }
  if (!record.rotation.has_value()) return "nothing";
  switch (record.rotation->step) {
    case RotationStep::kPrepared:
      return absl::StrCat("destroys root ", next, " and its key");
    case RotationStep::kDistributed:
      return absl::StrCat("takes root ", next, " out of all bundles and destroys its key");
    case RotationStep::kActive:
      return absl::StrCat("signs with root ", current, " again and tells agents to renew ",
                          "certificates of ", next, " now; both stay trusted");
    case RotationStep::kTainted:
      return absl::StrCat("leaves certificates of root ", current,
                          " alone again; new ones are still of ", next);
  }
  return "nothing";
}

TrustRecord AfterMove(const TrustRecord& record, RotationMove move, absl::Time now,
                      absl::optional<RootRecord> next) {
  CHECK(CheckTurn(record, move).ok() && next.has_value() == (move == RotationMove::kPrepare));
  TrustRecord after = record;
  if (move == RotationMove::kPrepare) {
    after.rotation.emplace();
    after.rotation->next = *std::move(next);
    after.rotation->since = now;
    ++after.root_count;
    return after;
  }
  RotationRecord& rotation = *after.rotation;
  rotation.since = now;
  for (RotationExclusion& exclusion : rotation.exclusions) exclusion.over = true;
  switch (move) {
    case RotationMove::kPrepare:
      break;
    case RotationMove::kDistribute:
      rotation.step = RotationStep::kDistributed;
      rotation.distributed_at = now;
      break;
    case RotationMove::kActivate:
      rotation.step = RotationStep::kActive;
      rotation.activated_at = now;
      rotation.signed_until.reset();
      break;
    case RotationMove::kTaint:
      rotation.step = RotationStep::kTainted;
      break;
    case RotationMove::kRevoke:
      after.current = std::move(rotation.next);
      after.rotation.reset();
      break;
    case RotationMove::kRollback:
      // Whoever rolls back wants to look first.
      rotation.automatic = false;
      switch (rotation.step) {
        case RotationStep::kPrepared:
        case RotationStep::kDistributed:
          after.rotation.reset();
          break;
        case RotationStep::kActive:
          rotation.step = RotationStep::kDistributed;
          rotation.signed_until = now;
          break;
        case RotationStep::kTainted:
          rotation.step = RotationStep::kActive;
          break;
      }
      break;
  }
  return after;
}

}  // namespace byrnie
