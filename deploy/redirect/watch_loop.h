#ifndef BYRNIE_DEPLOY_REDIRECT_WATCH_LOOP_H_
#define BYRNIE_DEPLOY_REDIRECT_WATCH_LOOP_H_

#include "absl/status/status.h"
#include "deploy/redirect/watch.h"

namespace byrnie {

// Checks every second, and at once when anybody changes nf_tables in this namespace, until SIGTERM
// or SIGINT. Blocks. FailedPrecondition when the process cannot hear signals.
absl::Status RunWatch(Watch* watch);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_WATCH_LOOP_H_
