#include "proxy/overload.h"

#include <algorithm>

#include "proxy/access_record.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

constexpr absl::string_view kNoMoreSockets = "the limit on open files leaves no more sockets";

}  // namespace

Overload::Overload(const Limits& limits, const Gauge* inbound, const Gauge* outbound,
                   Gauge* shedding)
    : limits_(limits), inbound_(inbound), outbound_(outbound), shedding_(shedding) {
  SetMemoryLimit(limits.memory);
}

int Overload::SocketsFor(Who who) const {
  switch (who) {
    case Who::kKnown:
      return limits_.sockets;
    case Who::kUnknown:
      return limits_.sockets - limits_.sockets / kReserved;
    case Who::kProof:
      return std::max(limits_.sockets, limits_.sockets_for_proofs);
  }
  return limits_.sockets;
}

absl::Status Overload::CheckDialled(int fd, Who who) const {
  if (fd < SocketsFor(who)) return absl::OkStatus();
  return WithReason(absl::ResourceExhaustedError(kNoMoreSockets), access_reason::kTooManySockets);
}

absl::optional<Overload::Shed> Overload::WhyNotConnection(int fd, Who who, size_t of_peer) {
  if (limits_.connections != 0) {
    const int64_t open = inbound_->value() + outbound_->value();
    const uint64_t most = who == Who::kKnown
                              ? limits_.connections
                              : limits_.connections - limits_.connections / kReserved;
    if (open > 0 && static_cast<uint64_t>(open) > most) {
      return Shed{access_reason::kTooManyConnections,
                  who == Who::kKnown ? "--max_connections are open"
                                     : "of --max_connections the last eighth is for who is known"};
    }
  }
  return WhyNot(fd, who, of_peer);
}

absl::optional<Overload::Shed> Overload::WhyNotOutbound(int fd) {
  return WhyNotConnection(fd, Who::kKnown,
                          static_cast<size_t>(std::max<int64_t>(0, outbound_->value())));
}

absl::optional<Overload::Shed> Overload::WhyNotStranger(int fd) const {
  if (fd < limits_.sockets) return absl::nullopt;
  return Shed{access_reason::kTooManySockets, kNoMoreSockets};
}

absl::optional<Overload::Shed> Overload::WhyNotTunnel(int fd) { return WhyNot(fd, Who::kKnown); }

absl::optional<Overload::Shed> Overload::WhyNot(int fd, Who who, size_t of_peer) {
  if (fd >= SocketsFor(who)) return Shed{access_reason::kTooManySockets, kNoMoreSockets};
  if (limits_.memory == 0) return absl::nullopt;
  const uint64_t shed_above = shed_above_.load(std::memory_order_relaxed);
  const uint64_t taken = taken_.load(std::memory_order_relaxed);
  const uint64_t expected = used_.load(std::memory_order_relaxed) + (taken + 1) * kNewConnection;
  if (short_of_memory_.load(std::memory_order_relaxed) || expected > shed_above) {
    return Shed{access_reason::kMemoryPressure, "memory is short"};
  }
  const uint64_t left = shed_above - expected;
  if (who == Who::kUnknown && left < shed_above / kReserved) {
    return Shed{access_reason::kMemoryPressure, "the last eighth of memory is for who is known"};
  }
  if (of_peer > 1 && of_peer * kNewConnection > left * kTimesLeft) {
    return Shed{access_reason::kMemoryPressure,
                "the connections of who asks have nearly all memory; what is left is for others"};
  }
  taken_.fetch_add(1, std::memory_order_relaxed);
  return absl::nullopt;
}

void Overload::SetMemoryLimit(uint64_t bytes) {
  const auto limit = static_cast<double>(bytes);
  shed_above_.store(static_cast<uint64_t>(limit * kShedAbove), std::memory_order_relaxed);
  take_below_.store(static_cast<uint64_t>(limit * kTakeBelow), std::memory_order_relaxed);
}

bool Overload::SetMemoryUsed(uint64_t bytes, uint64_t promised) {
  bytes += promised;
  used_.store(bytes, std::memory_order_relaxed);
  taken_.store(0, std::memory_order_relaxed);
  const bool was_short = short_of_memory_.load(std::memory_order_relaxed);
  const bool is_short = bytes > shed_above_.load(std::memory_order_relaxed) ||
                        (was_short && bytes >= take_below_.load(std::memory_order_relaxed));
  short_of_memory_.store(is_short, std::memory_order_relaxed);
  shedding_->Set(is_short ? 1 : 0);
  return is_short && !was_short;
}

}  // namespace byrnie
