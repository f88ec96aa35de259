#include "controlplane/discovery/held_resources.h"

#include <utility>

namespace byrnie {
namespace {

size_t CostOf(const std::string& name, const std::string& version) {
  return name.size() + version.size() + HeldResources::kClaimCost;
}

}  // namespace

constexpr size_t HeldResources::kClaimCost, HeldResources::kSentCost;

void HeldResources::Claim(const std::string& name, const std::string& version) {
  if (sent_.contains(name) || !claims_.emplace(name, version).second) return;
  claimed_bytes_ += CostOf(name, version);
}

void HeldResources::EraseClaim(Claims::iterator claim) {
  claimed_bytes_ -= CostOf(claim->first, claim->second);
  claims_.erase(claim);
}

void HeldResources::Put(ResourcePtr resource) {
  const auto claim = claims_.find(resource->name);
  if (claim != claims_.end()) EraseClaim(claim);
  // What was there is let go also where it says the same: the registry may not have it any more.
  const auto sent = sent_.find(resource->name);
  if (sent != sent_.end()) sent_.erase(sent);
  sent_.insert(std::move(resource));
}

bool HeldResources::Erase(absl::string_view name) {
  const auto claim = claims_.find(name);
  if (claim != claims_.end()) {
    EraseClaim(claim);
    return true;
  }
  const auto sent = sent_.find(name);
  if (sent == sent_.end()) return false;
  sent_.erase(sent);
  return true;
}

absl::optional<absl::string_view> HeldResources::VersionOf(absl::string_view name) const {
  const auto claim = claims_.find(name);
  if (claim != claims_.end()) return claim->second;
  const auto sent = sent_.find(name);
  if (sent != sent_.end()) return (*sent)->version;
  return absl::nullopt;
}

std::string HeldResources::TakeOne() {
  if (!claims_.empty()) {
    std::string name = claims_.begin()->first;
    EraseClaim(claims_.begin());
    return name;
  }
  std::string name = (*sent_.begin())->name;
  sent_.erase(sent_.begin());
  return name;
}

}  // namespace byrnie
