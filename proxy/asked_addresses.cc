#include "proxy/asked_addresses.h"

namespace byrnie {

bool AskedAddresses::MayAsk(const IpAddress& address) {
  const absl::Duration now = loop_->Now();
  while (!order_.empty() && order_.front().first + options_.ttl <= now) {
    asked_.erase(order_.front().second);
    order_.pop_front();
  }
  if (asked_.size() >= options_.max || !asked_.insert(address).second) return false;
  order_.emplace_back(now, address);
  return true;
}

}  // namespace byrnie
