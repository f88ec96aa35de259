#ifndef BYRNIE_CERTAGENT_LINK_SERVER_H_
#define BYRNIE_CERTAGENT_LINK_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "certagent/link_session.h"
#include "certagent/mesh_resources.h"
#include "common/event/event_loop.h"
#include "common/net/peer_process.h"
#include "common/net/tcp_stream.h"
#include "common/net/unix_listener.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Serves the proxy on a Unix socket, one at a time. Whoever connects must have the proxy's uid, as
// the kernel tells it (SO_PEERCRED), and where that is asked for run the proxy's executable; a
// second one is refused while the first lives, and takes the place of one that has ended. Who is
// refused is told why. Lives on the agent's loop. The socket's file is removed with the server.
class LinkServer {
 public:
  struct Options {
    std::string path;
    uid_t proxy_uid = 0;
    // File that the proxy's process must run, looked at for each connection; empty: any.
    std::string proxy_executable;
  };

  // Pointers outlive the server. Errors as UnixListener::Create.
  static absl::StatusOr<std::unique_ptr<LinkServer>> Create(EventLoop* loop, const Options& options,
                                                            LinkBackend* backend, Logger* log,
                                                            MetricRegistry* metrics);
  LinkServer(const LinkServer&) = delete;
  LinkServer& operator=(const LinkServer&) = delete;
  ~LinkServer();

  // Pass on a change to the proxy, if there is one.
  void OnIdentity(const IdentitySnapshot& identity);
  void OnPolicies(const PolicySet& policies);
  void OnAddresses(const std::vector<AddressPtr>& upserts,
                   const std::vector<std::string>& removals);

  // What the proxy has reported of connections is lost.
  void OnFlowsLost();
  // As LinkSession::Ask; where there is no session, `done` runs inside the call.
  void AskProxy(absl::Duration patience, absl::AnyInvocable<void(bool answered)> done);

  // Null when no proxy is connected.
  const LinkSession* session() const { return session_.get(); }

 private:
  LinkServer(EventLoop* loop, const Options& options, LinkBackend* backend, Logger* log,
             MetricRegistry* metrics);
  void OnAccept(std::unique_ptr<TcpStream> stream);
  void Refuse(TcpStream* stream, const PeerCredentials& peer, Counter* counter,
              absl::string_view reason);
  // Whether the proxy being served has gone, also when the loop has not noticed yet.
  bool ProxyHasEnded() const;

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  LinkBackend* const backend_;  // Not owned.
  Logger* const log_;           // Not owned.
  std::unique_ptr<UnixListener> listener_;
  std::unique_ptr<LinkSession> session_;
  // Of the session, while there is one.
  absl::optional<PeerProcess> proxy_;
  int proxy_socket_ = -1;  // Not owned.

  Counter* accepted_;
  Counter* refused_uid_;
  Counter* refused_executable_;
  Counter* refused_second_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_LINK_SERVER_H_
