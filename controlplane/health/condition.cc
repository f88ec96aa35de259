#include "controlplane/health/condition.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/utc_text.h"
#include "controlplane/audit/memory_spool.h"
#include "controlplane/trust/trust_digest.h"

namespace byrnie {
namespace {

using State = Condition::State;

constexpr size_t kNamesShown = 5;

Condition Ok(const char* name, std::string message) {
  return {name, State::kOk, std::move(message), ""};
}

Condition Warn(const char* name, std::string message, std::string remedy) {
  return {name, State::kWarn, std::move(message), std::move(remedy)};
}

Condition Fail(const char* name, std::string message, std::string remedy) {
  return {name, State::kFail, std::move(message), std::move(remedy)};
}

std::string DurationText(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

// "a, b and 7 more".
std::string Names(const std::vector<std::string>& names) {
  if (names.size() <= kNamesShown) return absl::StrJoin(names, ", ");
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + kNamesShown, ", "), " and ",
                      names.size() - kNamesShown, " more");
}

Condition JudgeStore(const HealthFacts& facts) {
  constexpr char kName[] = "store";
  constexpr char kRemedy[] =
      "bring it back; meanwhile nothing can be changed, and certificates are issued for as long as "
      "the condition \"issuing\" says";
  if (!facts.reads.status.ok()) {
    return Fail(kName,
                absl::StrCat("the store cannot be read since ", UtcText(facts.reads.failing_since),
                             ": ", facts.reads.status.message()),
                kRemedy);
  }
  if (!facts.writes.status.ok()) {
    return Fail(
        kName,
        absl::StrCat("the store can be read, but no write has succeeded since ",
                     UtcText(facts.writes.failing_since), ": ", facts.writes.status.message()),
        kRemedy);
  }
  return Ok(kName, "the store is reached");
}

Condition JudgeRecords(const HealthFacts& facts) {
  constexpr char kName[] = "stored-records";
  const std::vector<UnreadableRecord>& records = facts.unreadable_records;
  if (records.empty()) return Ok(kName, "every record of the store can be read");
  const UnreadableRecord& first = records.front();
  std::string message =
      absl::StrCat("\"", first.key, "\" cannot be read: ", first.why, "; meanwhile ", first.effect);
  if (records.size() > 1) {
    std::vector<std::string> others;
    for (size_t i = 1; i < records.size(); ++i) others.push_back(records[i].key);
    absl::StrAppend(&message, "; nor can ", Names(others), ", of which the log says the same");
  }
  return Fail(kName, message, first.remedy);
}

Condition JudgeLog(const HealthFacts& facts) {
  constexpr char kName[] = "issuance-log";
  const IssuanceLog::Backlog& log = facts.issuance_log;
  const std::string waiting =
      absl::StrCat(log.pending, " issuances wait until the store can be written");
  if (log.failing && log.lasting) {
    return Warn(kName, absl::StrCat(waiting, ", in --issuance_spool"), "bring the store back");
  }
  if (log.failing && log.pending > MemorySpool::kMost / 2) {
    return Fail(kName,
                absl::StrCat(waiting, "; beyond ", MemorySpool::kMost, " the oldest will be lost"),
                "bring the store back, or keep this process's own log: it has them, too");
  }
  if (log.failing) return Warn(kName, waiting, "bring the store back; until then do not restart");
  if (log.lost > 0) {
    return Warn(kName, absl::StrCat(log.lost, " issuances are not in the log of issuances"),
                "keep this process's own log: its lines \"certificate issued\" have them");
  }
  if (log.cut_to.has_value()) {
    return Warn(
        kName,
        absl::StrCat("what was issued up to ",
                     absl::FormatTime(absl::RFC3339_sec, *log.cut_to, absl::UTCTimeZone()),
                     " is not in the log of issuances any more, although it is younger than "
                     "--issuance_log_age: more than --issuance_log_size came after it"),
        "make --issuance_log_size larger, or the age shorter; byrniectl issuances shows "
        "whether one identity asks for so many, which --identity_issue_rate bounds");
  }
  return Ok(kName, "all that was issued is in the log of issuances");
}

Condition JudgeIssuing(const HealthFacts& facts) {
  constexpr char kName[] = "issuing";
  if (!facts.issues.ok()) {
    return Fail(kName, absl::StrCat("no certificate is issued: ", facts.issues.message()),
                absl::IsUnavailable(facts.issues)
                    ? "see to the store; agents are sent to other control planes meanwhile"
                    : "replace what has ended: with a plugged CA its files, else make a new root");
  }
  // A clock that was set back; one that is a little behind has no more than shorter certificates.
  if (facts.now < facts.ca_not_before) {
    return Fail(kName,
                absl::StrCat("the CA's certificates are good from ", UtcText(facts.ca_not_before),
                             ", and this machine's clock says ", UtcText(facts.now),
                             ": a certificate that would end before that is not issued"),
                "set this machine's clock (NTP)");
  }
  const bool counts = facts.issues_without_store != absl::InfiniteDuration();
  if (counts && (!facts.reads.status.ok() || facts.issuing_left < facts.issues_without_store / 2)) {
    return Warn(kName,
                absl::StrCat("certificates are issued for another ",
                             DurationText(facts.issuing_left), " without the store"),
                "bring the store back before that");
  }
  return Ok(kName, "certificates are issued");
}

// A certificate of ten years and one of ninety days leave different times to act.
Condition JudgeLife(const char* name, absl::string_view what, absl::Time not_before,
                    absl::Time not_after, absl::Time now, const char* remedy) {
  const absl::Duration life = not_after - not_before, left = not_after - now;
  const std::string message =
      absl::StrCat("the ", what, left <= absl::ZeroDuration() ? " has ended at " : " ends at ",
                   UtcText(not_after));
  if (left <= std::min(absl::Duration(absl::Hours(24 * 30)), life / 10)) {
    return Fail(name, message, remedy);
  }
  if (left <= std::min(absl::Duration(absl::Hours(24 * 90)), life / 4)) {
    return Warn(name, message, remedy);
  }
  return Ok(name, message);
}

// As trust rotate --exclude takes it: the port is another one at each connection.
std::string NameOf(const RotationBlocker& blocker) {
  if (blocker.address.empty()) return blocker.agent;
  return absl::StrCat(blocker.agent, "@", blocker.address.substr(0, blocker.address.rfind(':')));
}

Condition JudgeRotation(const HealthFacts& facts) {
  constexpr char kName[] = "root-rotation";
  if (!facts.rotation.has_value()) {
    return Ok(kName, "the CA is plugged: its root is rotated by replacing its files");
  }
  const RotationStatus& rotation = *facts.rotation;
  if (!rotation.step.has_value()) return Ok(kName, "no rotation of the root is under way");
  const absl::string_view move = RotationMoveName(rotation.move);
  const std::string stands =
      absl::StrCat("the rotation of the root is ", RotationStepName(*rotation.step), " since ",
                   UtcText(rotation.since));
  // What ends by itself nobody has to do anything about.
  std::vector<std::string> stuck;
  std::string reason;
  absl::Time until = absl::InfinitePast();
  for (const RotationBlocker& blocker : rotation.blockers) {
    until = std::max(until, blocker.until);
    if (rotation.automatic && blocker.until != absl::InfiniteFuture()) continue;
    if (stuck.empty()) reason = blocker.reason;
    stuck.push_back(NameOf(blocker));
  }
  if (!stuck.empty()) {
    return Warn(kName,
                absl::StrCat(stands, "; ", move, " is held up by ", Names(stuck), ": ", reason),
                "byrniectl trust status has all of them and what each needs; trust rotate "
                "--exclude goes on without one");
  }
  if (!rotation.automatic) {
    return Warn(kName, absl::StrCat(stands, " and waits for an operator"),
                absl::StrCat("byrniectl trust rotate --step=", move, ", or trust rollback"));
  }
  if (rotation.blockers.empty()) return Ok(kName, absl::StrCat(stands, "; ", move, " is next"));
  return Ok(kName, absl::StrCat(stands, "; ", move, " follows by ", UtcText(until)));
}

Condition RefusedAsIssued(const absl::Status& why) {
  return Fail("revocation-lists",
              absl::StrCat("certificates that are issued now are refused: ", why.message()),
              "give the present list of the CA that it names with --crl; where a CA's certificate "
              "is revoked itself, plug another one");
}

Condition JudgeLists(const HealthFacts& facts) {
  constexpr char kName[] = "revocation-lists";
  if (!facts.revocation_lists_state.ok()) {
    return Fail(kName,
                absl::StrCat("certificates that are revoked are not refused as they should be: ",
                             facts.revocation_lists_state.message()),
                "give the list that it names with --crl; rotate the root, or take it out of the "
                "trust bundle, where it cannot wait");
  }
  if (facts.revocation_lists.empty()) {
    return Ok(kName, "there is no revocation list, so nobody depends on one");
  }
  const HealthFacts::List& first =
      *std::min_element(facts.revocation_lists.begin(), facts.revocation_lists.end(),
                        [](const HealthFacts::List& a, const HealthFacts::List& b) {
                          return a.next_update < b.next_update;
                        });
  const std::string message =
      absl::StrCat("a revocation list of ", first.trust_domain, " is of ",
                   UtcText(first.this_update), " and good until ", UtcText(first.next_update));
  const absl::Duration left = first.next_update - facts.now;
  if (left <= absl::ZeroDuration()) {
    return Fail(kName, absl::StrCat(message, ": every certificate it is for is refused now"),
                "give the next list with --crl; the control plane's own need the store");
  }
  if (!facts.issued_state.ok()) return RefusedAsIssued(facts.issued_state);
  if (left < (first.next_update - first.this_update) / 4) {
    return Warn(kName, message,
                "give the next list with --crl; the control plane's own need the store");
  }
  return Ok(kName, message);
}

Condition JudgeStoredRegistry(const HealthFacts& facts) {
  constexpr char kName[] = "stored-registry";
  if (facts.stored_troubles.empty()) return Ok(kName, "what was applied goes together");
  return Fail(
      kName,
      absl::StrCat(facts.stored_troubles.size(),
                   " of what was applied not going with the rest: ", facts.stored_troubles.front()),
      "mend what it names; the control plane's log and byrniectl events have all of them");
}

Condition JudgeControlPlanes(const HealthFacts& facts) {
  constexpr char kName[] = "control-planes";
  if (!facts.peers.has_value()) return Ok(kName, "this control plane has its store for itself");
  if (!facts.peers->ok()) {
    return Warn(
        kName,
        absl::StrCat("others of the store cannot be asked: ", facts.peers->status().message()),
        "see to the store");
  }
  std::vector<std::string> heard, silent;
  for (const SharedFleet::Peer& peer : **facts.peers) {
    if (peer.name == facts.name && !peer.silent) {
      return Fail(
          kName, absl::StrCat("another control plane of the store is called ", facts.name, ", too"),
          "give each its own --name");
    }
    if (peer.ahead.has_value()) {
      const bool is_ahead = *peer.ahead > absl::ZeroDuration();
      return Fail(kName,
                  absl::StrCat("the clock of this control plane is ",
                               DurationText(absl::AbsDuration(*peer.ahead)),
                               is_ahead ? " ahead of" : " behind", " that of ", peer.name,
                               facts.rotation.has_value()
                                   ? ": no rotation of the root goes on by either"
                                   : ": what has ended for the one has not for the other"),
                  "set the clocks of both machines, by NTP; it is seen within a minute");
    }
    if (peer.silent) {
      silent.push_back(absl::StrCat(peer.name, " (heard of at ", UtcText(peer.heard_of), ")"));
    } else {
      heard.push_back(peer.name);
    }
  }
  if (!silent.empty()) {
    return Warn(kName, absl::StrCat("silent: ", Names(silent)),
                facts.rotation.has_value()
                    ? "start it again; where it is gone for good it is forgotten once all it may "
                      "have issued has ended, and a rotation of the root waits until then"
                    : "start it again; where it is gone for good it is forgotten once all it may "
                      "have issued has ended");
  }
  if (heard.empty()) return Ok(kName, "no other control plane of the store was heard of");
  return Ok(kName, absl::StrCat("also heard of: ", Names(heard)));
}

// Peers of a control plane with other roots are strangers, though the store says they are of one
// mesh.
Condition JudgeSameRoots(const HealthFacts& facts) {
  constexpr char kName[] = "same-roots";
  if (!facts.peers.has_value()) return Ok(kName, "this control plane has its store for itself");
  if (!facts.peers->ok()) return Ok(kName, "others of the store cannot be asked");
  std::vector<std::string> differ, other_issuers;
  for (const SharedFleet::Peer& peer : **facts.peers) {
    if (peer.trust.refuses()) {
      return Fail(kName, DifferenceText(peer.name, peer.trust),
                  "give both the same CA; where the mesh moves from one root to another, both "
                  "roots in every root-cert.pem before one signs; where they are of two meshes, "
                  "each its own --store");
    }
    if (peer.trust.differs()) differ.push_back(DifferenceText(peer.name, peer.trust));
    if (peer.trust.other_issuer) other_issuers.push_back(peer.name);
  }
  if (!differ.empty()) {
    return Warn(kName, absl::StrJoin(differ, "; "),
                "give every control plane the same root-cert.pem: in the middle of a move to "
                "another root it passes when the last one has the new files");
  }
  if (!other_issuers.empty()) {
    return Ok(kName, absl::StrCat("every control plane that was heard of has the same roots; other "
                                  "certificates below them sign at ",
                                  Names(other_issuers)));
  }
  return Ok(kName, "every control plane that was heard of has the same roots");
}

// What somebody gets is to hang on who asks, not on which of them is asked.
Condition JudgeSameConfiguration(const HealthFacts& facts) {
  constexpr char kName[] = "same-configuration";
  if (!facts.peers.has_value()) return Ok(kName, "this control plane has its store for itself");
  if (!facts.peers->ok()) return Ok(kName, "others of the store cannot be asked");
  std::vector<std::string> differ;
  for (const SharedFleet::Peer& peer : **facts.peers) {
    if (peer.settings.empty()) continue;
    differ.push_back(absl::StrCat("--", absl::StrJoin(peer.settings, ", --"), " at ", peer.name));
  }
  if (differ.empty()) {
    return Ok(kName, "every control plane that was heard of has the same flags");
  }
  return Warn(kName, absl::StrCat("not the same as here: ", absl::StrJoin(differ, "; ")),
              "give all of them the same, of files the same content: else what agents and "
              "operators get depends on which one they reach; in the middle of a roll-out it "
              "passes");
}

Condition JudgeUnmeshedPods(const HealthFacts& facts) {
  constexpr char kName[] = "unmeshed-pods";
  if (!facts.cluster.unmeshed_pods.has_value()) return Ok(kName, "the registry is no cluster's");
  const std::vector<std::string>& pods = *facts.cluster.unmeshed_pods;
  if (pods.empty())
    return Ok(kName, "every pod of a meshed namespace has its sidecar, or opts out");
  return Warn(
      kName,
      absl::StrCat(
          pods.size(), pods.size() == 1 ? " pod" : " pods",
          " of meshed namespaces without a sidecar that has their connections: ", Names(pods)),
      "kubectl rollout restart what was made before the label or without the webhook; where "
      "a reason is said that is to be mended first. What is to stay out of the mesh wants "
      "the label byrnie.io/inject=false");
}

// Whoever makes a pod can leave the mesh, and its policies for that pod: somebody may want to know.
Condition JudgeOptedOutPods(const HealthFacts& facts) {
  constexpr char kName[] = "opted-out-pods";
  if (!facts.cluster.opted_out_pods.has_value()) return Ok(kName, "the registry is no cluster's");
  const std::vector<std::string>& pods = *facts.cluster.opted_out_pods;
  if (pods.empty()) return Ok(kName, "no pod of a meshed namespace is opted out");
  return Warn(
      kName,
      absl::StrCat(
          pods.size(), pods.size() == 1 ? " pod" : " pods",
          " of meshed namespaces opted out, by byrnie.io/inject=false unless it says otherwise: ",
          Names(pods)),
      "nothing where that is meant: no AccessPolicy holds for what they let in");
}

// Somebody believes each of them to be in force.
Condition JudgeClusterPolicies(const HealthFacts& facts) {
  constexpr char kName[] = "cluster-policies";
  if (!facts.cluster.refused_policies.has_value()) return Ok(kName, "the registry is no cluster's");
  const std::vector<std::string>& refused = *facts.cluster.refused_policies;
  if (refused.empty()) return Ok(kName, "every AccessPolicy of the cluster is accepted");
  return Fail(
      kName,
      absl::StrCat(refused.size(), refused.size() == 1 ? " AccessPolicy" : " AccessPolicies",
                   " refused: ", Names(refused)),
      "correct it: kubectl describe accesspolicy says the same in its status; what it said "
      "when it was last accepted is in force until then");
}

Condition JudgeWebhook(const HealthFacts& facts) {
  constexpr char kName[] = "injection-webhook";
  if (!facts.cluster.contested_webhook.has_value())
    return Ok(kName, "there is no injection webhook");
  if (facts.cluster.contested_webhook->empty()) return Ok(kName, "nobody else writes its caBundle");
  return Warn(kName,
              absl::StrCat("another installation writes its own caBundle into the "
                           "MutatingWebhookConfiguration ",
                           *facts.cluster.contested_webhook,
                           " whenever ours is there: API servers can ask only one of the two, and "
                           "make no pods in meshed namespaces when they ask the other"),
              "a cluster has one installation: uninstall one, or start it with a "
              "--webhook_configuration of its own");
}

Condition JudgeTrustBundle(const HealthFacts& facts) {
  constexpr char kName[] = "trust-bundle";
  if (!facts.cluster.trust_refused_by.has_value()) return Ok(kName, "the registry is no cluster's");
  if (!facts.cluster.trust_refused_by->empty()) {
    return Fail(kName,
                absl::StrCat("the roots are not published to any namespace: those of another mesh "
                             "are in ",
                             *facts.cluster.trust_refused_by, ", and ours are nowhere"),
                "a cluster has one mesh; if that one is gone: kubectl delete configmaps "
                "--all-namespaces --field-selector metadata.name=byrnie-trust-bundle");
  }
  if (!facts.cluster.trust_unwritten.empty()) {
    return Fail(kName,
                absl::StrCat("our roots cannot be put into the ConfigMap byrnie-trust-bundle of ",
                             Names(facts.cluster.trust_unwritten)),
                "see what is there: agents of these namespaces trust it, or do not start; one that "
                "is immutable: kubectl delete configmap byrnie-trust-bundle, and it is made anew");
  }
  if (facts.cluster.trust_overwritten.empty())
    return Ok(kName, "no namespace has other roots than ours");
  return Warn(kName,
              absl::StrCat("roots of another mesh were overwritten in ",
                           Names(facts.cluster.trust_overwritten)),
              "see who writes the ConfigMap byrnie-trust-bundle there: kubectl get configmap "
              "byrnie-trust-bundle -o yaml has it in metadata.managedFields");
}

// Agents that start, new pods and operators go by it: after a move to another root they would trust
// nobody.
Condition JudgeBundleFile(const HealthFacts& facts) {
  constexpr char kName[] = "bundle-file";
  if (!facts.bundle_file.has_value()) return Ok(kName, "there is no --trust_bundle_out");
  if (facts.bundle_file->ok()) return Ok(kName, "the file of --trust_bundle_out has the roots");
  const bool contested = absl::IsFailedPrecondition(*facts.bundle_file);
  return Fail(kName,
              absl::StrCat(facts.bundle_file->message(),
                           "; agents and operators that go by what is there may not trust the "
                           "roots of now"),
              contested
                  ? "find out who else has that path (a control plane of another mesh, a job "
                    "that puts an old copy back): within a minute after that has stopped "
                    "this passes, and no rotation of the root goes on to activate or revoke before"
                  : "make room, or take away what is in its place: it is tried again every "
                    "second, and no rotation of the root goes on to activate or revoke "
                    "before");
}

Condition JudgeInputFiles(const HealthFacts& facts) {
  constexpr char kName[] = "input-files";
  const std::vector<std::string>& rejected = facts.input_files.rejected;
  const std::vector<std::string>& wrong = facts.input_files.wrong_in_force;
  std::vector<std::string> messages, remedies;
  if (!rejected.empty()) {
    messages.push_back(absl::StrCat(
        rejected.size(), rejected.size() == 1 ? " file is" : " files are",
        " rejected, and what was read before stays in force: ", absl::StrJoin(rejected, "; ")));
    remedies.push_back(
        "correct it before the next start, which would fail, or take revocation lists as they are: "
        "it is read again when it changes");
  }
  if (!wrong.empty()) {
    messages.push_back(absl::StrCat("certificates are refused by revocation lists in force: ",
                                    absl::StrJoin(wrong, "; ")));
    remedies.push_back(
        "put the present lists of the CAs that are named into the file that is named: they come "
        "into force within a second; of a partner, its operators have them");
  }
  if (messages.empty()) return Ok(kName, "every file that was given is in force as it is");
  return Fail(kName, absl::StrJoin(messages, "; "), absl::StrJoin(remedies, "; "));
}

}  // namespace

std::vector<Condition> JudgeHealth(const HealthFacts& facts) {
  constexpr char kRootRemedy[] =
      "rotate the root while all agents are there: byrniectl trust rotate, or with a plugged CA "
      "its files";
  constexpr char kCaRemedy[] =
      "no certificate outlives it: put a newer one into the folder of --ca=plugged:, or rotate the "
      "root";
  std::vector<Condition> conditions = {
      JudgeStore(facts),
      JudgeRecords(facts),
      JudgeLog(facts),
      JudgeIssuing(facts),
      JudgeLife("root-certificate", "root certificate", facts.root->not_before(),
                facts.root->not_after(), facts.now, kRootRemedy),
      JudgeLife("ca-certificate", "CA's path to it", facts.ca_not_before, facts.ca_not_after,
                facts.now, kCaRemedy),
      JudgeRotation(facts),
      JudgeLists(facts),
      JudgeStoredRegistry(facts),
      JudgeControlPlanes(facts),
      JudgeSameRoots(facts),
      JudgeSameConfiguration(facts),
      JudgeUnmeshedPods(facts),
      JudgeOptedOutPods(facts),
      JudgeClusterPolicies(facts),
      JudgeWebhook(facts),
      JudgeTrustBundle(facts),
      JudgeBundleFile(facts),
      JudgeInputFiles(facts)};
  for (Condition& condition : conditions) condition.since = facts.now;
  return conditions;
}

}  // namespace byrnie
