#ifndef BYRNIE_CERTAGENT_CHANNEL_KEEPER_H_
#define BYRNIE_CERTAGENT_CHANNEL_KEEPER_H_

#include <memory>
#include <vector>

#include "grpcpp/channel.h"

namespace byrnie {

// Keeps channels from ending while they connect. gRPC 1.51 never closes a connection whose channel
// goes between the end of the TLS handshake and the server's first frame: descriptor and some 75
// KiB stay for the life of the process. Lives on one thread.
class ChannelKeeper {
 public:
  // Holds `channel` until nobody else does and it is not connecting.
  void Keep(std::shared_ptr<grpc::Channel> channel) { kept_.push_back(std::move(channel)); }
  // Lets go of what need not be kept any longer. To be called every now and then.
  void Sweep();

  size_t size() const { return kept_.size(); }

 private:
  std::vector<std::shared_ptr<grpc::Channel>> kept_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_CHANNEL_KEEPER_H_
