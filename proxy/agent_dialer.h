#ifndef BYRNIE_PROXY_AGENT_DIALER_H_
#define BYRNIE_PROXY_AGENT_DIALER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"

namespace byrnie {

// InvalidArgument unless `path` can be the agent's socket: it fits a Unix address, and its
// directory exists.
absl::Status CheckAgentSocketPath(const std::string& path);

// Connects to the agent's Unix socket and checks with SO_PEERCRED that whoever listens there has
// this process's uid or is root. Unavailable when nobody listens, PermissionDenied for a listener
// of another uid. Does not block.
absl::StatusOr<std::unique_ptr<ByteStream>> DialAgent(EventLoop* loop, const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_AGENT_DIALER_H_
