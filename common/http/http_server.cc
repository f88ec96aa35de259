#include "common/http/http_server.h"

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/status_macros.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"

namespace byrnie {
namespace {

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(EventLoop* loop, const Options& options, std::vector<Route> routes)
      : loop_(loop),
        evicted_(options.evicted),
        max_connections_(options.max_connections),
        limits_(options.limits),
        memory_{options.max_held, options.max_held_of_client},
        transport_(options.transport),
        router_(options, std::move(routes)),
        sweep_(loop->NewDeferred([this] { Sweep(); })) {}

  absl::Status Listen(const SocketAddress& address) {
    ASSIGN_OR_RETURN(listener_, TcpListener::Create(loop_, address, TcpListener::Options(),
                                                    [this](std::unique_ptr<TcpStream> s) {
                                                      Accept(std::move(s));
                                                    }));
    address_ = listener_->address();
    return absl::OkStatus();
  }

  SocketAddress address() const override { return address_; }

  void Drain(absl::AnyInvocable<void()> done) override {
    // Closing a listener resets what waits in its queue.
    listener_->AcceptAll();
    listener_.reset();
    on_drained_ = std::move(done);
    for (const auto& [id, connection] : connections_) connection->Drain();
    sweep_->Schedule();
  }

 private:
  void Accept(std::unique_ptr<TcpStream> stream) {
    const absl::StatusOr<SocketAddress> peer = stream->RemoteAddress();
    const absl::StatusOr<SocketAddress> local = stream->LocalAddress();
    if (!peer.ok() || !local.ok()) return;  // Gone again already.
    if (connections_.size() >= max_connections_) MakeRoom();
    std::unique_ptr<ByteStream> transport;
    if (transport_ == nullptr) {
      transport = std::move(stream);
    } else {
      transport = transport_(std::move(stream));
      if (transport == nullptr) return;
    }
    const uint64_t id = next_id_++;
    connections_[id] = std::make_unique<HttpConnection>(
        loop_, std::move(transport), *peer, *local, &router_,
        [this, id] {
          done_.push_back(id);
          sweep_->Schedule();
        },
        limits_, &memory_);
  }

  void MakeRoom() {
    if (evicted_ != nullptr) evicted_->Increment();
    // Its request may lie in the kernel still, because many connections came in this turn. Whoever
    // is answered now is no longer the one with the least to lose, or is done.
    for (size_t i = 0; i < max_connections_; ++i) {
      const auto victim = Victim();
      if (victim->second->standing() == HttpConnection::Standing::kUnanswered &&
          victim->second->TakeWhatHasCome()) {
        continue;
      }
      connections_.erase(victim);
      return;
    }
    connections_.erase(Victim());
  }

  std::map<uint64_t, std::unique_ptr<HttpConnection>>::iterator Victim() {
    absl::flat_hash_map<IpAddress, int> by_client;
    for (const auto& [id, connection] : connections_) ++by_client[connection->peer().ip()];
    auto victim = connections_.begin();
    const auto rank = [&by_client](const HttpConnection& connection) {
      return std::make_pair(-by_client[connection.peer().ip()], connection.standing());
    };
    // In the order of their age.
    for (auto it = connections_.begin(); it != connections_.end(); ++it) {
      if (rank(*it->second) < rank(*victim->second)) victim = it;
    }
    return victim;
  }

  // At the end of the turn: no connection dies inside its own call.
  void Sweep() {
    for (const uint64_t id : done_) connections_.erase(id);
    done_.clear();
    if (!connections_.empty() || on_drained_ == nullptr) return;
    absl::AnyInvocable<void()> drained = std::exchange(on_drained_, nullptr);
    drained();
  }

  EventLoop* const loop_;   // Not owned.
  Counter* const evicted_;  // Not owned.
  const size_t max_connections_;
  const HttpConnectionLimits limits_;
  HttpRequestMemory memory_;
  const std::function<std::unique_ptr<ByteStream>(std::unique_ptr<TcpStream>)> transport_;
  HttpRouter router_;
  std::unique_ptr<EventLoop::Deferred> sweep_;
  std::vector<uint64_t> done_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<HttpConnection>> connections_;
  std::unique_ptr<TcpListener> listener_;
  SocketAddress address_;
  absl::AnyInvocable<void()> on_drained_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(EventLoop* loop,
                                                               const SocketAddress& address,
                                                               const Options& options,
                                                               std::vector<Route> routes) {
  auto server = std::make_unique<HttpServerImpl>(loop, options, std::move(routes));
  RETURN_IF_ERROR(server->Listen(address));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace byrnie
