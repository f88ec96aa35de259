#include "proxy/flight_recorder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/identity/spiffe_id.h"
#include "proxy/reason_set.h"

namespace byrnie {

FlightRecorder::Entry::Entry(const AccessRecord& record)
    : end_(record.start + record.duration),
      duration_(record.duration),
      stages_(record.stages),
      direction_(record.direction),
      protocol_(record.protocol),
      route_(record.route),
      result_(record.result),
      dialled_(record.destination.has_value()),
      reason_(AllReasons()[ReasonIndex(record.reason)]),
      peer_reason_(KnownReason(record.peer_reason)),
      source_(record.source),
      destination_(record.destination.value_or(SocketAddress())),
      original_destination_(record.original_destination),
      bytes_sent_(record.bytes_sent),
      bytes_received_(record.bytes_received) {
  const absl::string_view reason = record.reason;
  const size_t space = reason.find(' ');
  const absl::string_view parts[kParts] = {
      record.peer_identity.has_value() ? absl::string_view(record.peer_identity->text())
                                       : absl::string_view(),
      record.service,
      space == absl::string_view::npos ? absl::string_view() : reason.substr(space + 1),
      record.connection,
      record.detail,
  };
  // Long names leave room for the short ones.
  constexpr size_t kMost[kParts] = {120, 88, 64, 32, 288};
  size_t end = 0;
  for (size_t part = 0; part < kParts; ++part) {
    const size_t size = std::min({parts[part].size(), kMost[part], text_.size() - end});
    // Not memcpy: a part that is not there has no address.
    std::copy_n(parts[part].begin(), size, text_.begin() + end);
    end += size;
    ends_[part] = static_cast<uint16_t>(end);
  }
}

absl::string_view FlightRecorder::Entry::Text(Part part) const {
  const size_t begin = part == 0 ? 0 : ends_[part - 1];
  return absl::string_view(text_.data() + begin, ends_[part] - begin);
}

AccessRecord FlightRecorder::Entry::ToRecord() const {
  AccessRecord record;
  record.connection = std::string(Text(kConnection));
  record.start = end_ - duration_;
  record.duration = duration_;
  record.stages = stages_;
  record.direction = direction_;
  record.protocol = protocol_;
  record.route = route_;
  record.result = result_;
  record.reason =
      Text(kPolicy).empty() ? std::string(reason_) : absl::StrCat(reason_, " ", Text(kPolicy));
  record.peer_reason = peer_reason_;
  record.detail = std::string(Text(kDetail));
  record.source = source_;
  if (dialled_) record.destination = destination_;
  record.original_destination = original_destination_;
  record.service = std::string(Text(kService));
  // One that was cut may not be an identity any more.
  absl::StatusOr<SpiffeId> peer = SpiffeId::Parse(Text(kPeer));
  if (peer.ok()) record.peer_identity = *std::move(peer);
  record.bytes_sent = bytes_sent_;
  record.bytes_received = bytes_received_;
  return record;
}

bool FlightRecorder::Filter::Admits(const Entry& entry) const {
  if (!reason.empty() && entry.reason() != reason) return false;
  if (result.has_value() && entry.result() != *result) return false;
  if (direction.has_value() && entry.direction() != *direction) return false;
  if (!peer.empty() && entry.peer_identity() != peer) return false;
  return entry.stages().SetUp() >= slow;
}

void FlightRecorder::Add(const AccessRecord& record) {
  if (next_ == steps_.size() * kStep && steps_.size() * kStep < kCapacity) {
    steps_.push_back(std::make_unique<Entry[]>(kStep));
  }
  At(next_) = Entry(record);
  next_ = (next_ + 1) % kCapacity;
  size_ = std::min(size_ + 1, kCapacity);
}

std::vector<FlightRecorder::Entry> FlightRecorder::Find(const Filter& filter) const {
  std::vector<Entry> found;
  // One piece: growing would copy them again and again on a worker's time.
  found.reserve(std::min(size_, filter.limit));
  for (size_t i = 0; i < size_ && found.size() < filter.limit; ++i) {
    const Entry& entry = At((next_ + kCapacity - 1 - i) % kCapacity);
    if (filter.Admits(entry)) found.push_back(entry);
  }
  return found;
}

std::vector<FlightRecorder::Entry> MergeNewest(
    std::vector<std::vector<FlightRecorder::Entry>> of_workers, size_t limit) {
  std::vector<FlightRecorder::Entry> all;
  for (const std::vector<FlightRecorder::Entry>& entries : of_workers) {
    all.insert(all.end(), entries.begin(), entries.end());
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const FlightRecorder::Entry& a, const FlightRecorder::Entry& b) {
                     return a.end() > b.end();
                   });
  if (all.size() > limit) all.resize(limit);
  return all;
}

}  // namespace byrnie
