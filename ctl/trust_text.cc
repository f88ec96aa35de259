#include "ctl/trust_text.h"

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

std::string RootUse(const v1::Root& root) {
  std::vector<absl::string_view> words;
  if (root.signs()) words.push_back("signs");
  if (root.trusted()) words.push_back("trusted");
  if (root.tainted()) words.push_back("to be renewed away from");
  return words.empty() ? "made, not trusted" : absl::StrJoin(words, ", ");
}

std::string RootsText(const v1::Trust& trust, absl::Time now) {
  std::vector<std::vector<std::string>> rows = {{"ROOT", "SUBJECT", "END", "USE"}};
  for (const v1::Root& root : trust.roots()) {
    rows.push_back({root.fingerprint().substr(0, 12), Printable(root.subject()),
                    Expiry(TimeOf(root.not_after()), now), RootUse(root)});
  }
  return Table(rows);
}

std::string ExclusionText(const v1::TrustExclusion& exclusion) {
  return absl::StrCat(Printable(exclusion.move()),
                      exclusion.over() ? " did not wait for " : " does not wait for ",
                      Printable(exclusion.agent()), " (", exclusion.left_out(), " left out), said ",
                      Printable(exclusion.by()), " at ", Rfc3339(exclusion.at()), "\n");
}

std::string BlockersText(const v1::Trust& trust) {
  std::vector<std::vector<std::string>> rows = {{"KEPT BACK BY", "ADDRESS", "UNTIL", "BECAUSE IT"}};
  for (const v1::TrustBlocker& blocker : trust.blockers()) {
    rows.push_back({Printable(blocker.agent()),
                    blocker.address().empty() ? "not connected" : Printable(blocker.address()),
                    blocker.has_until() ? Rfc3339(blocker.until()) : "it is helped",
                    Printable(blocker.reason())});
  }
  return absl::StrCat("\n", Table(rows));
}

}  // namespace

std::string TrustText(const v1::Trust& trust, absl::Time now) {
  std::string text = RootsText(trust, now);
  if (trust.plugged()) {
    return absl::StrCat(text, "\nthe CA is plugged: its files say what is trusted\n");
  }
  absl::StrAppend(&text, "\n",
                  trust.step().empty()
                      ? "no rotation is under way"
                      : absl::StrCat("rotation: ", trust.step(), " for ",
                                     ShortDuration(now - TimeOf(trust.since())),
                                     trust.automatic() ? ", goes on by itself" : ""),
                  "\nnext: ", trust.move(), ", which ", Printable(trust.consequence()), "\n");
  for (const v1::TrustExclusion& exclusion : trust.exclusions()) {
    absl::StrAppend(&text, ExclusionText(exclusion));
  }
  if (!trust.blockers().empty()) return absl::StrCat(text, BlockersText(trust));
  return absl::StrCat(text, trust.move() == "prepare" ? "" : "nothing keeps it back\n");
}

std::string DryRunText(const v1::Trust& trust, const std::vector<std::string>& excluded,
                       bool in_steps, absl::Time now) {
  const bool held_up = !trust.blockers().empty();
  std::string text = absl::StrCat("dry run, nothing was changed; the next move would be ",
                                  trust.move(), ", which ", Printable(trust.consequence()), "\n",
                                  !held_up   ? "nothing keeps it back\n"
                                  : in_steps ? "it would be refused now\n"
                                             : "the rotation would wait with it\n",
                                  "\n", RootsText(trust, now));
  std::string exclusions;
  for (const v1::TrustExclusion& exclusion : trust.exclusions()) {
    const bool asked_for = !exclusion.over() && absl::c_linear_search(excluded, exclusion.agent());
    // What is asked for in a dry run is in the answer as if it were kept.
    absl::StrAppend(&exclusions,
                    asked_for ? absl::StrCat(Printable(exclusion.move()), " would not wait for ",
                                             Printable(exclusion.agent()), " (",
                                             exclusion.left_out(), " left out)\n")
                              : ExclusionText(exclusion));
  }
  if (!exclusions.empty()) absl::StrAppend(&text, "\n", exclusions);
  return held_up ? absl::StrCat(text, BlockersText(trust)) : text;
}

std::string RevocationsText(const std::vector<v1::Revocation>& revocations, absl::Time now) {
  if (revocations.empty()) return "nothing is revoked\n";
  std::vector<std::vector<std::string>> rows = {
      {"SERIAL", "IDENTITY", "REVOKED", "BY", "END", "REASON"}};
  for (const v1::Revocation& revocation : revocations) {
    rows.push_back(
        {Printable(revocation.serial()),
         revocation.spiffe_id().empty() ? "unknown" : Printable(revocation.spiffe_id()),
         Rfc3339(revocation.revoked_at()),
         revocation.revoked_by().empty() ? "nobody known" : Printable(revocation.revoked_by()),
         Expiry(TimeOf(revocation.not_after()), now), Printable(revocation.revoked_reason())});
  }
  return Table(rows);
}

}  // namespace byrnie
