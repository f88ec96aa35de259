#include "controlplane/policy/address_set.h"

#include <algorithm>
#include <cstring>

namespace byrnie {
namespace {

template <typename Addresses>
void AddTo(Addresses* addresses, absl::string_view bytes) {
  std::memcpy(addresses->emplace_back().data(), bytes.data(), bytes.size());
}

template <typename Addresses>
void SortThose(Addresses* addresses) {
  std::sort(addresses->begin(), addresses->end());
  addresses->erase(std::unique(addresses->begin(), addresses->end()), addresses->end());
  addresses->shrink_to_fit();
}

template <typename Addresses>
bool AnyOfThemIn(const Addresses& addresses, const istio::security::Address& block) {
  typename Addresses::value_type first;
  std::memcpy(first.data(), block.address().data(), first.size());
  auto last = first;
  for (size_t bit = block.length(); bit < first.size() * 8; ++bit) {
    const int mask = 0x80 >> (bit % 8);
    first[bit / 8] = static_cast<unsigned char>(first[bit / 8] & ~mask);
    last[bit / 8] = static_cast<unsigned char>(last[bit / 8] | mask);
  }
  const auto at = std::lower_bound(addresses.begin(), addresses.end(), first);
  return at != addresses.end() && *at <= last;
}

}  // namespace

void AddressSet::Add(absl::string_view bytes) {
  if (bytes.size() == 4) AddTo(&v4_, bytes);
  if (bytes.size() == 16) AddTo(&v6_, bytes);
}

void AddressSet::Add(const AddressSet& other) {
  v4_.insert(v4_.end(), other.v4_.begin(), other.v4_.end());
  v6_.insert(v6_.end(), other.v6_.begin(), other.v6_.end());
}

void AddressSet::Sort() {
  SortThose(&v4_);
  SortThose(&v6_);
}

bool AddressSet::AnyIn(const istio::security::Address& block) const {
  if (block.address().size() == 4) return AnyOfThemIn(v4_, block);
  return block.address().size() == 16 && AnyOfThemIn(v6_, block);
}

}  // namespace byrnie
