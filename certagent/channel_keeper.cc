#include "certagent/channel_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpc/grpc.h"

namespace byrnie {
namespace {

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

// Of keepers that have ended. Never destroyed, nor is what is in it.
struct InUse {
  absl::Mutex mutex;
  Channels channels ABSL_GUARDED_BY(mutex);

  static InUse& Get() {
    static InUse& in_use = *new InUse;
    return in_use;
  }
};

}  // namespace

ChannelKeeper::~ChannelKeeper() {
  InUse& in_use = InUse::Get();
  absl::MutexLock lock(&in_use.mutex);
  for (std::shared_ptr<grpc::Channel>& channel : kept_) {
    // Whom nobody else has nobody else can get.
    if (channel.use_count() > 1) in_use.channels.push_back(std::move(channel));
  }
}

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
