#ifndef BYRNIE_CONTROLPLANE_START_CHECKS_H_
#define BYRNIE_CONTROLPLANE_START_CHECKS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"

namespace byrnie {

// What is looked at before anything is made, so that a mistake in the configuration leaves nothing
// behind. Errors begin with the flag that is wrong.

struct FlagPort {
  absl::string_view flag;
  SocketAddress address;
};

struct FlagFile {
  absl::string_view flag;
  // Empty: none.
  std::string path;
};

// An error of what a flag says, with what to do about it.
absl::Status InFlag(absl::string_view flag, const absl::Status& status,
                    absl::string_view remedy = "");

// The same of what is found in the store, where it is not one to start with.
absl::Status InStoreFlag(const absl::Status& status);

// Whether it can be listened there, which comes later; port 0 always can.
absl::Status CheckPortsAreFree(EventLoop* loop, const std::vector<FlagPort>& ports);

// Whether files that are to be written have a folder; those of them that are not there yet.
// NotFound: there is no folder.
absl::StatusOr<std::vector<std::string>> CheckOutputs(const std::vector<FlagFile>& outputs);

// Which of the files are there and hold something: "the file of --FLAG, PATH, is there".
std::vector<std::string> TracesOf(const std::vector<FlagFile>& files);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_START_CHECKS_H_
