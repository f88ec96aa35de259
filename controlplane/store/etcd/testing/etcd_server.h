#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_TESTING_ETCD_SERVER_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_TESTING_ETCD_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace byrnie {

// A real etcd of one member, as a child process on free ports of the loopback, with its data in a
// folder of the test. It dies with the test.
class EtcdServer {
 public:
  // Returns once it answers. NotFound when etcd is not installed.
  static absl::StatusOr<std::unique_ptr<EtcdServer>> Start();
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;
  ~EtcdServer();

  // "127.0.0.1:PORT".
  const std::string& endpoint() const { return endpoint_; }
  // Ends it at once, as a power cut would; what it has acknowledged is on its disk.
  void Kill();
  // Starts it again, on the same port and data, and returns once it answers.
  absl::Status Restart();

 private:
  EtcdServer() = default;
  absl::Status Spawn();

  std::string directory_, endpoint_, peer_endpoint_;
  pid_t pid_ = -1;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_TESTING_ETCD_SERVER_H_
