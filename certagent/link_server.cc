#include "certagent/link_server.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/net/peer_credentials.h"

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
  refused_second_ = metrics->AddCounter(kConnections, kHelp, {{"result", "refused_second"}});
}

LinkServer::~LinkServer() = default;

void LinkServer::OnAccept(std::unique_ptr<TcpStream> stream) {
  DCHECK(loop_->InLoopThread());
  absl::StatusOr<PeerCredentials> peer = GetPeerCredentials(stream->fd());
  if (!peer.ok() || peer->uid != options_.proxy_uid) {
    refused_uid_->Increment();
    log_->Warning("link connection refused: wrong uid",
                  {{"uid", peer.ok() ? static_cast<int64_t>(peer->uid) : -1},
                   {"expected", static_cast<int64_t>(options_.proxy_uid)}});
    return;
  }
  if (session_ != nullptr) {
    refused_second_->Increment();
    log_->Warning("link connection refused: a proxy is connected already",
                  {{"pid", static_cast<int64_t>(peer->pid)}});
    return;
  }
  accepted_->Increment();
  session_ = std::make_unique<
      LinkSession>(loop_, std::move(stream), backend_, log_, [this](const absl::Status& why) {
    log_->Info("proxy disconnected", {{"reason", why.ok() ? "it ended the link" : why.ToString()}});
    session_.reset();
  });
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

}  // namespace byrnie
