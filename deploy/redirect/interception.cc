#include "deploy/redirect/interception.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "deploy/redirect/nft_generation.h"

namespace byrnie {

absl::StatusOr<std::unique_ptr<Interception>> Interception::Create(Ruleset ruleset) {
  ASSIGN_OR_RETURN(NftSession nft, NftSession::Create());
  ASSIGN_OR_RETURN(PolicyRouting routing, PolicyRouting::Create());
  const bool zones = nft.Supports(Ruleset::ZoneCommands());
  return std::unique_ptr<Interception>(
      new Interception(zones ? std::move(ruleset) : ruleset.WithoutZones(), zones, std::move(nft),
                       std::move(routing)));
}

absl::Status Interception::Apply() {
  // Packets that the rules mark need the routing, so that comes first and goes last.
  bool added = false;
  if (ruleset_.tproxy()) RETURN_IF_ERROR(routing_.Add(&added));
  const absl::Status applied = nft_.Run(ruleset_.ApplyCommands()).status();
  if (!applied.ok()) {
    if (added) routing_.Remove().IgnoreError();
    return applied;
  }
  if (!ruleset_.tproxy()) return routing_.Remove();
  return absl::OkStatus();
}

absl::Status Interception::Remove() {
  RETURN_IF_ERROR(nft_.Run(Ruleset::RemoveCommands()).status());
  return routing_.Remove();
}

absl::StatusOr<std::string> Interception::Difference() {
  ASSIGN_OR_RETURN(std::string difference, RulesDifference());
  // Routing is not nf_tables'.
  ASSIGN_OR_RETURN(const std::string routing, routing_.Difference(ruleset_.tproxy()));
  absl::StrAppend(&difference, routing);
  return difference;
}

absl::StatusOr<std::string> Interception::RulesDifference() {
  // Asked first, so that what changes while the rules are read is looked at the next time.
  const absl::StatusOr<uint32_t> generation = NftGeneration();
  if (generation.ok() && generation_in_place_ == *generation) return std::string();
  generation_in_place_.reset();
  ASSIGN_OR_RETURN(const std::string live, nft_.ListTable("inet byrnie"));
  ASSIGN_OR_RETURN(const std::string closed, nft_.ListTable("inet byrnie_closed"));
  std::string difference = CompareListings(ruleset_.listing(), live);
  if (!closed.empty()) {
    absl::StrAppend(&difference, "+ table inet byrnie_closed {\n");
  }
  if (difference.empty() && generation.ok()) generation_in_place_ = *generation;
  return difference;
}

absl::Status Interception::Close() {
  ASSIGN_OR_RETURN(const std::string closed, nft_.ListTable("inet byrnie_closed"));
  if (!closed.empty() && CompareListings(ruleset_.closed_listing(), closed).empty()) {
    return absl::OkStatus();
  }
  return nft_.Run(ruleset_.CloseCommands()).status();
}

absl::Status Interception::Hold() {
  // A session of its own, because the table belongs to its socket and libnftables opens a new one
  // when somebody changes rules while it reads them.
  ASSIGN_OR_RETURN(NftSession session, NftSession::Create());
  const absl::Status held = session.Run(ruleset_.HoldCommands()).status();
  if (held.ok()) {
    holder_.emplace(std::move(session));
    return absl::OkStatus();
  }
  // This process may administer the network, so it is another one's table.
  if (absl::StrContains(held.message(), strerror(EPERM))) {
    return absl::FailedPreconditionError(
        "another process watches these rules already; end the other byrnie-redirect watch of this "
        "network namespace, or this one");
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the kernel keeps no table for one process alone: ", held.message()));
}

}  // namespace byrnie
