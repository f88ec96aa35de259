#ifndef BYRNIE_PROXY_FLIGHT_RECORDER_H_
#define BYRNIE_PROXY_FLIGHT_RECORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "proxy/access_record.h"
#include "proxy/stage_times.h"

namespace byrnie {

// The last connections of one worker that have ended, for whoever wants to know in the night what
// was slow or refused a minute ago. Lives on the worker's loop. Its memory is what has been used of
// it, in steps, up to a fixed size: about half a kilobyte for each connection kept; a connection
// that is recorded allocates nothing once the ring is full.
class FlightRecorder {
 public:
  static constexpr size_t kCapacity = 1000;

  // One ended connection. A value of fixed size: texts beyond what fits are cut.
  class Entry {
   public:
    Entry() = default;
    explicit Entry(const AccessRecord& record);

    absl::Time end() const { return end_; }
    const StageTimes& stages() const { return stages_; }
    AccessRecord::Result result() const { return result_; }
    AccessRecord::Direction direction() const { return direction_; }
    // Of the closed set.
    absl::string_view reason() const { return reason_; }
    absl::string_view peer_identity() const { return Text(kPeer); }
    // As far as it was kept.
    AccessRecord ToRecord() const;

   private:
    enum Part { kPeer, kService, kPolicy, kConnection, kDetail, kParts };
    absl::string_view Text(Part part) const;

    absl::Time end_;
    absl::Duration duration_;
    StageTimes stages_;
    AccessRecord::Direction direction_ = AccessRecord::Direction::kOutbound;
    AccessRecord::Protocol protocol_ = AccessRecord::Protocol::kPlaintext;
    AccessRecord::Route route_ = AccessRecord::Route::kNone;
    AccessRecord::Result result_ = AccessRecord::Result::kFailed;
    bool dialled_ = false;
    absl::string_view reason_;
    absl::string_view peer_reason_;
    SocketAddress source_;
    SocketAddress destination_;
    SocketAddress original_destination_;
    uint64_t bytes_sent_ = 0;
    uint64_t bytes_received_ = 0;
    // The parts one behind the other; ends_[i] is where part i ends.
    std::array<uint16_t, kParts> ends_ = {};
    std::array<char, 288> text_;
  };

  // What to look for; empty or zero: anything.
  struct Filter {
    std::string reason;
    absl::optional<AccessRecord::Result> result;
    absl::optional<AccessRecord::Direction> direction;
    std::string peer;
    // The set-up took at least this long.
    absl::Duration slow;
    size_t limit = kCapacity;

    bool Admits(const Entry& entry) const;
  };

  FlightRecorder() = default;
  FlightRecorder(const FlightRecorder&) = delete;
  FlightRecorder& operator=(const FlightRecorder&) = delete;

  void Add(const AccessRecord& record);
  // At most `filter.limit`, the newest first.
  std::vector<Entry> Find(const Filter& filter) const;
  size_t size() const { return size_; }

 private:
  static constexpr size_t kStep = 50;
  static_assert(kCapacity % kStep == 0, "the ring is made of whole steps");

  Entry& At(size_t position) const { return steps_[position / kStep][position % kStep]; }

  std::vector<std::unique_ptr<Entry[]>> steps_;
  size_t size_ = 0;
  size_t next_ = 0;
};

// Of several workers, the newest first, at most `limit`.
std::vector<FlightRecorder::Entry> MergeNewest(
    std::vector<std::vector<FlightRecorder::Entry>> of_workers, size_t limit);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLIGHT_RECORDER_H_
