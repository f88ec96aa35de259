#include "proxy/inbound_modes.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

std::vector<absl::string_view> Items(absl::string_view text) {
  if (absl::StripAsciiWhitespace(text).empty()) return {};
  std::vector<absl::string_view> items = absl::StrSplit(text, ',');
  for (absl::string_view& item : items) item = absl::StripAsciiWhitespace(item);
  return items;
}

absl::StatusOr<uint16_t> ParsePort(absl::string_view text) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text, &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a port; give 1 to 65535"));
  }
  return static_cast<uint16_t>(port);
}

absl::StatusOr<CidrBlock> ParseCidrBlock(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  const absl::StatusOr<IpAddress> base = IpAddress::Parse(parts[0]);
  if (!base.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a network; write it like 10.0.0.0/8 or fd00::/8"));
  }
  CidrBlock block;
  block.base = *base;
  const int bits = base->is_v4() ? 32 : 128;
  block.length = bits;
  if (parts.size() == 2 &&
      (!absl::SimpleAtoi(parts[1], &block.length) || block.length < 1 || block.length > bits)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prefix length of \"", text, "\" must be 1 to ", bits));
  }
  return block;
}

}  // namespace

bool InboundModes::StrictAt(uint16_t port) const {
  const auto found = strict_at.find(port);
  return found == strict_at.end() ? strict : found->second;
}

absl::Status InboundModes::SetProbeSources(absl::string_view text) {
  std::vector<absl::string_view> items = Items(text);
  const auto gateways = std::remove(items.begin(), items.end(), "gateways");
  probe_gateways = gateways != items.end();
  items.erase(gateways, items.end());
  ASSIGN_OR_RETURN(probe_sources, ParseCidrBlocks(absl::StrJoin(items, ",")));
  return absl::OkStatus();
}

bool InboundModes::IsProbe(const IpAddress& source, uint16_t port,
                           const absl::flat_hash_set<IpAddress>& gateways) const {
  if (!probe_ports.contains(port)) return false;
  if (UsesGateways() && gateways.contains(source)) return true;
  return absl::c_any_of(probe_sources,
                        [&source](const CidrBlock& block) { return block.Contains(source); });
}

absl::StatusOr<absl::flat_hash_map<uint16_t, bool>> ParsePortModes(absl::string_view text) {
  absl::flat_hash_map<uint16_t, bool> modes;
  for (const absl::string_view item : Items(text)) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, absl::MaxSplits('=', 1));
    ASSIGN_OR_RETURN(const uint16_t port, ParsePort(parts[0]));
    const absl::string_view mode = parts.size() == 2 ? parts[1] : absl::string_view();
    if (mode != "strict" && mode != "permissive") {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", item, "\" does not say strict or permissive; write it like ", port, "=permissive"));
    }
    if (!modes.emplace(port, mode == "strict").second) {
      return absl::InvalidArgumentError(absl::StrCat("port ", port, " is there twice"));
    }
  }
  return modes;
}

absl::StatusOr<absl::flat_hash_set<uint16_t>> ParsePortSet(absl::string_view text) {
  absl::flat_hash_set<uint16_t> ports;
  for (const absl::string_view item : Items(text)) {
    ASSIGN_OR_RETURN(const uint16_t port, ParsePort(item));
    ports.insert(port);
  }
  return ports;
}

absl::StatusOr<std::vector<CidrBlock>> ParseCidrBlocks(absl::string_view text) {
  std::vector<CidrBlock> blocks;
  for (const absl::string_view item : Items(text)) {
    ASSIGN_OR_RETURN(CidrBlock block, ParseCidrBlock(item));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace byrnie
