#include "certagent/link_server.h"

#include <poll.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/link/frame_stream.h"

namespace byrnie {

absl::StatusOr<std::unique_ptr<LinkServer>> LinkServer::Create(EventLoop* loop,
                                                               const Options& options,
                                                               LinkBackend* backend, Logger* log,
                                                               MetricRegistry* metrics) {
  std::unique_ptr<LinkServer> server(new LinkServer(loop, options, backend, log, metrics));
  LinkServer* self = server.get();
  ASSIGN_OR_RETURN(
      server->listener_,
      UnixListener::Create(loop, options.path, [self](std::unique_ptr<TcpStream> stream) {
        self->OnAccept(std::move(stream));
      }));
  return server;
}

LinkServer::LinkServer(EventLoop* loop, const Options& options, LinkBackend* backend, Logger* log,
                       MetricRegistry* metrics)
    : loop_(loop), options_(options), backend_(backend), log_(log) {
  constexpr char kConnections[] = "byrnie_certagent_link_connections_total";
  constexpr char kHelp[] = "Connections to the link socket, by result.";
  accepted_ = metrics->AddCounter(kConnections, kHelp, {{"result", "accepted"}});
  refused_uid_ = metrics->AddCounter(kConnections, kHelp, {{"result", "refused_uid"}});
  refused_executable_ =
      metrics->AddCounter(kConnections, kHelp, {{"result", "refused_executable"}});
  refused_second_ = metrics->AddCounter(kConnections, kHelp, {{"result", "refused_second"}});
}

LinkServer::~LinkServer() = default;

void LinkServer::OnAccept(std::unique_ptr<TcpStream> stream) {
  DCHECK(loop_->InLoopThread());
  absl::StatusOr<PeerProcess> peer = PeerProcess::Of(stream->fd());
  if (!peer.ok()) return Refuse(stream.get(), {}, refused_uid_, peer.status().message());
  if (peer->credentials().uid != options_.proxy_uid) {
    return Refuse(stream.get(), peer->credentials(), refused_uid_,
                  absl::StrCat("it has uid ", peer->credentials().uid, ", not the proxy's ",
                               options_.proxy_uid));
  }
  if (!options_.proxy_executable.empty()) {
    const absl::Status runs = peer->RunsExecutable(options_.proxy_executable);
    if (!runs.ok()) {
      return Refuse(stream.get(), peer->credentials(), refused_executable_, runs.message());
    }
  }
  if (session_ != nullptr && !ProxyHasEnded()) {
    return Refuse(
        stream.get(), peer->credentials(), refused_second_,
        absl::StrCat("another proxy is connected already, pid ", proxy_->credentials().pid));
  }
  accepted_->Increment();
  // The one it replaces has nothing left to say, nor anybody to say it to.
  if (session_ != nullptr) {
    log_->Info("proxy disconnected", {{"reason", "it has ended"}});
    session_.reset();
    backend_->OnProxyGone();
  }
  proxy_ = *std::move(peer);
  proxy_socket_ = stream->fd();
  session_ = std::make_unique<
      LinkSession>(loop_, std::move(stream), backend_, log_, [this](const absl::Status& why) {
    log_->Info("proxy disconnected", {{"reason", why.ok() ? "it ended the link" : why.ToString()}});
    proxy_.reset();
    proxy_socket_ = -1;
    LinkBackend* const backend = backend_;
    session_.reset();  // And this function with it.
    backend->OnProxyGone();
  });
}

bool LinkServer::ProxyHasEnded() const {
  if (proxy_->HasEnded()) return true;
  pollfd end = {proxy_socket_, POLLRDHUP, 0};
  return poll(&end, 1, 0) > 0;
}

void LinkServer::Refuse(TcpStream* stream, const PeerCredentials& peer, Counter* counter,
                        absl::string_view reason) {
  counter->Increment();
  log_->Warning("link connection refused", {{"reason", reason},
                                            {"pid", static_cast<int64_t>(peer.pid)},
                                            {"uid", static_cast<int64_t>(peer.uid)}});
  link::v1::AgentMessage message;
  message.mutable_refusal()->set_reason(std::string(reason));
  const std::string frame = FrameStream::Encode(message.SerializeAsString());
  // A new socket has room for it. Whether the peer reads it is its own business.
  stream->Write({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()});
}

void LinkServer::OnIdentity(const IdentitySnapshot& identity) {
  if (session_ != nullptr) session_->SendIdentity(identity);
}

void LinkServer::OnPolicies(const PolicySet& policies) {
  if (session_ != nullptr) session_->SendPolicies(policies);
}

void LinkServer::OnAddresses(const std::vector<AddressPtr>& upserts,
                             const std::vector<std::string>& removals) {
  if (session_ != nullptr) session_->SendAddresses(upserts, removals);
}

void LinkServer::AskProxy(absl::Duration patience, absl::AnyInvocable<void(bool)> done) {
  if (session_ == nullptr) return done(false);
  session_->Ask(patience, std::move(done));
}

void LinkServer::OnFlowsLost() {
  if (session_ != nullptr) session_->SendFlowsLost();
}

}  // namespace byrnie
