#include "controlplane/kubernetes/api_connector.h"

#include <netdb.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/tcp_stream.h"
#include "common/tls/tls_stream.h"
#include "controlplane/kubernetes/proxy_tunnel.h"

namespace byrnie {

class TlsApiConnector::AttemptImpl final : public ApiConnector::Attempt {
 public:
  AttemptImpl(TlsApiConnector* connector, Callback done)
      : connector_(connector),
        done_(std::move(done)),
        begin_(connector->loop_->NewDeferred([this] { Begin(); })),
        done_later_(connector->loop_->NewDeferred([this] { Tell(); })) {
    begin_->Schedule();
  }

 private:
  void Begin() {
    absl::StatusOr<std::vector<SocketAddress>> addresses = connector_->Resolve();
    if (!addresses.ok()) return Finish(addresses.status());
    addresses_ = *std::move(addresses);
    Dial();
  }

  void Dial() {
    TcpStream::ConnectOptions options;
    options.timeout = kConnectTimeout;
    tcp_ = TcpStream::Connect(connector_->loop_, addresses_[next_++], options,
                              [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                if (stream.ok()) return Reach(*std::move(stream));
                                if (next_ < addresses_.size()) return Dial();
                                Finish(absl::UnavailableError(stream.status().message()));
                              });
  }

  // By way of a proxy where there is one.
  void Reach(std::unique_ptr<TcpStream> stream) {
    const ApiServer& server = connector_->credentials_->server();
    if (!server.proxy.has_value()) return Greet(std::move(stream));
    tunnel_ = std::make_unique<ProxyTunnel>(
        connector_->loop_, *server.proxy, server.Authority(), std::move(stream),
        [this](absl::StatusOr<std::unique_ptr<ByteStream>> through) {
          if (!through.ok()) return Finish(through.status());
          Greet(*std::move(through));
        });
  }

  void Greet(std::unique_ptr<ByteStream> stream) {
    absl::StatusOr<std::shared_ptr<const TlsContext>> context = connector_->credentials_->Context();
    if (!context.ok()) return Finish(absl::UnavailableError(context.status().message()));
    TlsStream::Options options;
    options.handshake_timeout = kHandshakeTimeout;
    tls_ = TlsStream::Create(connector_->loop_, std::move(stream), *std::move(context),
                             std::move(options), [this](absl::Status status) {
                               // The stream is not moved out of its own call.
                               Finish(std::move(status));
                             });
  }

  void Finish(absl::Status status) {
    status_ = std::move(status);
    done_later_->Schedule();
  }

  void Tell() {
    Callback done = std::move(done_);
    if (status_.ok()) {
      done(std::move(tls_));
    } else {
      done(status_);
    }
  }

  TlsApiConnector* const connector_;  // Not owned.
  Callback done_;
  std::unique_ptr<EventLoop::Deferred> begin_, done_later_;
  std::vector<SocketAddress> addresses_;
  size_t next_ = 0;
  std::unique_ptr<TcpStream::Attempt> tcp_;
  std::unique_ptr<ProxyTunnel> tunnel_;
  std::unique_ptr<TlsStream> tls_;
  absl::Status status_;
};

std::unique_ptr<ApiConnector::Attempt> TlsApiConnector::Connect(Callback done) {
  return std::make_unique<AttemptImpl>(this, std::move(done));
}

absl::StatusOr<std::vector<SocketAddress>> TlsApiConnector::Resolve() const {
  const ApiServer& server = credentials_->server();
  // A proxy looks up the API server by itself: its name may mean nothing here.
  const std::string& host = server.proxy.has_value() ? server.proxy->host : server.host;
  const uint16_t port = server.proxy.has_value() ? server.proxy->port : server.port;
  const absl::StatusOr<IpAddress> literal = IpAddress::Parse(host);
  if (literal.ok()) return std::vector<SocketAddress>{SocketAddress(*literal, port)};
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot look up ", host, ": ", ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage storage = {};
    if (entry->ai_addrlen > sizeof(storage)) continue;
    memcpy(&storage, entry->ai_addr, entry->ai_addrlen);
    const absl::StatusOr<SocketAddress> address = SocketAddress::FromSockaddr(storage);
    if (address.ok()) addresses.emplace_back(address->ip(), port);
  }
  if (addresses.empty()) {
    return absl::UnavailableError(absl::StrCat(host, " has no address"));
  }
  return addresses;
}

}  // namespace byrnie
