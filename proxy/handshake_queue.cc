#include "proxy/handshake_queue.h"

#include "common/base/check.h"

namespace byrnie {

HandshakeQueue::~HandshakeQueue() {
  for (const auto& [id, connection] : connections_) counts_->Remove(connection.source);
}

absl::optional<uint64_t> HandshakeQueue::Victim(const IpAddress& source) const {
  if (!silent_.empty()) return *silent_.begin();
  if (by_size_.empty()) return absl::nullopt;
  const auto own = sources_.find(source);
  const size_t with_newcomer = (own == sources_.end() ? 0 : own->second.all.size()) + 1;
  const auto& [most, heaviest] = *by_size_.rbegin();
  if (most <= with_newcomer) return absl::nullopt;
  return *sources_.at(heaviest).all.begin();
}

absl::optional<uint64_t> HandshakeQueue::SilentOf(const IpAddress& source) const {
  const auto own = sources_.find(source);
  if (own == sources_.end() || own->second.silent.empty()) return absl::nullopt;
  return *own->second.silent.begin();
}

bool HandshakeQueue::Crowded(const IpAddress& source) const {
  return counts_->Crowded(SourceKey(source), limits_);
}

absl::optional<uint64_t> HandshakeQueue::SilentVictim(const IpAddress& address) const {
  const IpAddress key = SourceKey(address);
  switch (counts_->RoomFor(key, limits_)) {
    case HandshakeCounts::Room::kFree:
      break;
    case HandshakeCounts::Room::kSourceFull:
      return SilentOf(key);
    case HandshakeCounts::Room::kFull:
      if (!silent_.empty()) return *silent_.begin();
      break;
  }
  return absl::nullopt;
}

HandshakeQueue::Admission HandshakeQueue::Admit(const IpAddress& address) {
  const IpAddress key = SourceKey(address);
  Admission admission;
  const HandshakeCounts::Room room = counts_->TryAdd(key, limits_);
  if (room != HandshakeCounts::Room::kFree) {
    const bool source_full = room == HandshakeCounts::Room::kSourceFull;
    admission.evicted = source_full ? SilentOf(key) : Victim(key);
    if (!admission.evicted.has_value()) {
      admission.outcome = source_full ? Outcome::kSourceFull : Outcome::kFull;
      return admission;
    }
    const auto evicted = connections_.find(*admission.evicted);
    counts_->Replace(evicted->second.source, key);
    Forget(evicted);
  }
  const uint64_t id = next_id_++;
  admission.id = id;
  Connection connection;
  connection.source = key;
  connections_.emplace(id, connection);
  Source& source = sources_[key];
  by_size_.erase({source.all.size(), key});
  source.all.insert(id);
  source.silent.insert(id);
  by_size_.insert({source.all.size(), key});
  silent_.insert(id);
  return admission;
}

void HandshakeQueue::OnFirstByte(uint64_t id) {
  const auto it = connections_.find(id);
  if (it == connections_.end() || it->second.state != State::kSilent) return;
  Connection& connection = it->second;
  Source& source = sources_.at(connection.source);
  silent_.erase(id);
  source.silent.erase(id);
  connection.state = State::kInLine;
  connection.place = next_place_++;
  if (source.line.empty()) {
    source.turn = next_turn_++;
    turns_.emplace(source.turn, connection.source);
  }
  source.line.emplace(connection.place, id);
}

absl::optional<uint64_t> HandshakeQueue::Next() {
  if (turns_.empty()) return absl::nullopt;
  const IpAddress key = turns_.begin()->second;
  Source& source = sources_.at(key);
  const auto first = source.line.begin();
  const uint64_t id = first->second;
  turns_.erase(turns_.begin());
  source.line.erase(first);
  if (!source.line.empty()) {
    // Behind those of the other sources that wait.
    source.turn = next_turn_++;
    turns_.emplace(source.turn, key);
  }
  connections_.at(id).state = State::kShaking;
  return id;
}

void HandshakeQueue::LeaveLine(const IpAddress& key, Source* source, uint64_t place) {
  source->line.erase(place);
  if (source->line.empty()) {
    DCHECK(turns_.at(source->turn) == key);
    turns_.erase(source->turn);
  }
}

void HandshakeQueue::Remove(uint64_t id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  counts_->Remove(it->second.source);
  Forget(it);
}

void HandshakeQueue::Forget(absl::flat_hash_map<uint64_t, Connection>::iterator it) {
  const uint64_t id = it->first;
  const Connection connection = it->second;
  connections_.erase(it);
  const auto source = sources_.find(connection.source);
  Source& own = source->second;
  if (connection.state == State::kSilent) {
    silent_.erase(id);
    own.silent.erase(id);
  } else if (connection.state == State::kInLine) {
    LeaveLine(connection.source, &own, connection.place);
  }
  by_size_.erase({own.all.size(), connection.source});
  own.all.erase(id);
  if (own.all.empty()) {
    sources_.erase(source);
  } else {
    by_size_.insert({own.all.size(), connection.source});
  }
}

}  // namespace byrnie
