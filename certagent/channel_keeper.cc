#include "certagent/channel_keeper.h"

#include <algorithm>

#include "grpc/grpc.h"

namespace byrnie {

void ChannelKeeper::Sweep() {
  kept_.erase(std::remove_if(kept_.begin(), kept_.end(),
                             [](const std::shared_ptr<grpc::Channel>& channel) {
                               // A count that another thread lowers meanwhile is seen next time.
                               return channel.use_count() == 1 &&
                                      channel->GetState(/*try_to_connect=*/false) !=
                                          GRPC_CHANNEL_CONNECTING;
                             }),
              kept_.end());
}

}  // namespace byrnie
