#ifndef BYRNIE_PROXY_FLOW_H_
#define BYRNIE_PROXY_FLOW_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/net/socket_address.h"
#include "proxy/access_record.h"

namespace byrnie {

// What makes connections alike, so that the control plane hears of them as one edge. Borrows its
// text.
struct FlowKeyView {
  enum class Path : uint8_t { kHbone, kDirect, kPlaintext, kProbe };

  AccessRecord::Direction direction = AccessRecord::Direction::kOutbound;
  Path path = Path::kPlaintext;
  AccessRecord::Result verdict = AccessRecord::Result::kFailed;
  // The SPIFFE ID that the other end has proven; empty: none.
  absl::string_view peer;
  // Of inbound connections without an identity, the SourceNetwork of their sources. Else
  // unspecified.
  IpAddress source_network;
  // Inbound what was asked for, which policies decide about; outbound what was dialled.
  SocketAddress destination;
  // "namespace/hostname", of outbound ones; empty: none.
  absl::string_view service;

  friend bool operator==(const FlowKeyView& a, const FlowKeyView& b) {
    return a.direction == b.direction && a.path == b.path && a.verdict == b.verdict &&
           a.destination == b.destination && a.source_network == b.source_network &&
           a.peer == b.peer && a.service == b.service;
  }
  template <typename H>
  friend H AbslHashValue(H h, const FlowKeyView& k) {
    return H::combine(std::move(h), k.direction, k.path, k.verdict, k.peer, k.source_network,
                      k.destination, k.service);
  }
};

// The same, with text of its own. Immutable; shared by whoever has the edge.
class FlowKey {
 public:
  explicit FlowKey(const FlowKeyView& view) : peer_(view.peer), service_(view.service) {
    view_ = view;
    view_.peer = peer_;
    view_.service = service_;
  }
  FlowKey(const FlowKey&) = delete;
  FlowKey& operator=(const FlowKey&) = delete;

  const FlowKeyView& view() const { return view_; }

 private:
  const std::string peer_;
  const std::string service_;
  FlowKeyView view_;
};

// One edge: what is known of all connections of a key. A value.
struct Flow {
  // Longer reasons are cut.
  static constexpr size_t kMaxReason = 127;

  std::shared_ptr<const FlowKey> key;
  // Why, of the last connection: of the closed set, with its policy.
  std::string reason;
  // Of the last connection, inbound.
  IpAddress source;
  uint64_t opened = 0;  // Refused ones included.
  uint64_t closed = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  absl::Time first_seen;
  absl::Time last_seen;
};

FlowKeyView::Path FlowPathOf(AccessRecord::Protocol protocol);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLOW_H_
