#ifndef BYRNIE_CERTAGENT_CHANNEL_KEEPER_H_
#define BYRNIE_CERTAGENT_CHANNEL_KEEPER_H_

#include <memory>
#include <vector>

#include "grpcpp/channel.h"

namespace byrnie {

// Keeps channels from ending where gRPC 1.51 does not bear it. Lives on one thread.
//
// While they connect: a connection whose channel goes between the end of the TLS handshake and the
// server's first frame is never closed; descriptor and some 75 KiB stay for the life of the
// process.
//
// On a thread of gRPC's, which drops what a call has held when the call is over: the last channel
// of a process takes the queue of all callbacks with it, and the threads that serve the queue. A
// thread cannot wait for its own end, so that it goes on with a queue that is freed. What is still
// in use when the keeper ends is therefore never destroyed.
class ChannelKeeper {
 public:
  ChannelKeeper() = default;
  ChannelKeeper(const ChannelKeeper&) = delete;
  ChannelKeeper& operator=(const ChannelKeeper&) = delete;
  ~ChannelKeeper();

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
