#ifndef BYRNIE_PROXY_PROCESS_COUNTS_H_
#define BYRNIE_PROXY_PROCESS_COUNTS_H_

#include "proxy/handshake_counts.h"
#include "proxy/peer_proofs.h"
#include "proxy/peer_usage.h"
#include "proxy/shared_count.h"

namespace byrnie {

// What all workers together hold of what flags limit, so that a flag means the process and not a
// worker's share of it. Counts alone are shared: the worker that is at a limit makes room, or
// finds none, among what it has itself. Thread-safe; outlives the workers and their connections.
struct ProcessCounts {
  HandshakeCounts handshakes;
  // Of direct mTLS: a flood at one port leaves the other one its room.
  HandshakeCounts direct_handshakes;
  HandshakeCounts direct_arrivals;
  PeerUsage inbound;
  // Connections of each address that were taken past a limit for the sake of a proof.
  PeerUsage for_proofs;
  SharedCount outbound_tunnels;
  // No count: what their peers have proven, to whichever worker.
  PeerProofs proofs;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROCESS_COUNTS_H_
