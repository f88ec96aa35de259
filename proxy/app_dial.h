#ifndef BYRNIE_PROXY_APP_DIAL_H_
#define BYRNIE_PROXY_APP_DIAL_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/overload.h"
#include "proxy/proxy_config.h"
#include "proxy/worker_context.h"

namespace byrnie {

// Where this pod's application takes an inbound connection, and how.
struct AppTarget {
  SocketAddress address;
  // It wants a PROXY protocol header in front of the client's bytes.
  bool proxy_protocol = false;
};

// Where a connection to `original_destination`, an address of this pod, is served: there, unless
// discovery names a port of the workload's own for connections with a PROXY header. Pure.
AppTarget FindApp(const ProxyConfig& config, const MeshSnapshot& mesh,
                  const SocketAddress& original_destination);

// A connection being made to the pod's application. Destroying it abandons the connection and the
// callback does not run. Lives on the worker's loop.
class AppDial {
 public:
  // Runs once, in a later turn; may destroy the dial: PermissionDenied when the address is the
  // sidecar's own; ResourceExhausted, DeadlineExceeded and Unavailable as TcpStream::Connect.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<TcpStream>>)>;

  // `who`: for whom the socket is. In tproxy mode the application sees `client` as the address of
  // its peer. `preamble`, the PROXY header or empty, has been written in front of everything when
  // `done` gets the stream: it is no part of what a relay counts.
  AppDial(WorkerContext* context, Overload::Who who, const IpAddress& client,
          const SocketAddress& address, std::string preamble, Callback done);
  AppDial(const AppDial&) = delete;
  AppDial& operator=(const AppDial&) = delete;
  ~AppDial();

 private:
  void Connect();
  void OnConnected(absl::StatusOr<std::unique_ptr<TcpStream>> stream);

  WorkerContext* const context_;  // Not owned.
  const Overload::Who who_;
  const SocketAddress address_;
  // Whose address the application is to see; none: the proxy's own.
  absl::optional<IpAddress> borrowed_;
  int attempts_ = 0;
  // Of them, those from a borrowed port that nothing came back from.
  int silent_ = 0;
  std::string preamble_;
  Callback done_;
  std::unique_ptr<TcpStream::Attempt> attempt_;
  std::unique_ptr<EventLoop::Deferred> refusal_;
};

// The closed set's word for why AppDial failed.
absl::string_view ReasonOfAppDialFailure(const absl::Status& status);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_APP_DIAL_H_
