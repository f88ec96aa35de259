#ifndef BYRNIE_CONTROLPLANE_STREAM_AGENT_PUSH_STREAM_H_
#define BYRNIE_CONTROLPLANE_STREAM_AGENT_PUSH_STREAM_H_

#include <utility>

#include "absl/types/optional.h"
#include "common/grpc/peer_address.h"
#include "common/grpc/push_stream.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/stream/stream_set.h"
#include "grpcpp/server_context.h"

namespace byrnie {

// A bidirectional stream of an agent. Owned by its StreamSet.
template <typename Request, typename Response>
class AgentPushStream : public PushStream<Request, Response, AgentStream> {
 public:
  AgentPushStream(grpc::CallbackServerContext* context, StreamSet* set,
                  absl::optional<PeerIdentity> peer)
      : PushStream<Request, Response, AgentStream>(
            context, set, std::move(peer), PeerAddress(context->peer()), PeerRelease(*context)) {}
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STREAM_AGENT_PUSH_STREAM_H_
