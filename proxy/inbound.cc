#include "proxy/inbound.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {
namespace {

using Result = AccessRecord::Result;

// Of the peer's words, in an error.
constexpr size_t kMaxQuoted = 128;

}  // namespace

InboundTarget CheckAuthority(const ProxyConfig& config, const IpAddress& local,
                             absl::string_view authority) {
  InboundTarget target;
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(authority);
  if (!address.ok() || address->port() == 0 || address->ip() != local) {
    target.http_status = 400;
    target.reason = access_reason::kBadConnectRequest;
    return target;
  }
  target.address = *address;
  if (config.IsSidecarPort(address->port())) {
    target.http_status = 403;
    target.reason = access_reason::kLoop;
  }
  return target;
}

InboundConnection::InboundConnection(WorkerContext* context, std::unique_ptr<ConnectStream> stream,
                                     std::string authority, const SocketAddress& source,
                                     const IpAddress& local, std::shared_ptr<const PeerInfo> peer)
    : Connection(context, AccessRecord::Direction::kInbound, AccessRecord::Protocol::kHbone),
      stream_(std::move(stream)),
      authority_(std::move(authority)),
      local_(local),
      kernel_destination_(SocketAddress()) {
  set_source(source);
  set_peer(std::move(peer));
}

InboundConnection::InboundConnection(WorkerContext* context, std::unique_ptr<TcpStream> plaintext,
                                     absl::StatusOr<SocketAddress> original_destination)
    : Connection(context, AccessRecord::Direction::kInbound, AccessRecord::Protocol::kPlaintext),
      plaintext_(std::move(plaintext)),
      kernel_destination_(std::move(original_destination)) {}

InboundConnection::~InboundConnection() = default;

void InboundConnection::Start() {
  if (stream_ != nullptr) {
    StartTunnelled();
  } else {
    StartPlaintext();
  }
}

void InboundConnection::StartTunnelled() {
  const InboundTarget target = CheckAuthority(*context()->config, local_, authority_);
  set_original_destination(target.address);
  if (target.http_status != 200) {
    Answer(target.http_status, Result::kDenied, target.reason,
           absl::StrCat("CONNECT ", authority_.substr(0, kMaxQuoted)));
    return;
  }
  authority_ = std::string();
  AuthorizeAndDial();
}

void InboundConnection::StartPlaintext() {
  const absl::StatusOr<SocketAddress> source = plaintext_->RemoteAddress();
  if (source.ok()) set_source(*source);
  if (!kernel_destination_.ok()) {
    Answer(0, Result::kDenied, access_reason::kNoOriginalDestination,
           std::string(kernel_destination_.status().message()));
    return;
  }
  set_original_destination(*kernel_destination_);
  const absl::StatusOr<SocketAddress> local = plaintext_->LocalAddress();
  if ((local.ok() && *local == original_destination()) ||
      context()->config->IsSidecarPort(original_destination().port())) {
    Answer(0, Result::kDenied, access_reason::kLoop, "made to a port of this pod's sidecar");
    return;
  }
  if (plaintext_->fd() >= context()->socket_limit) {
    Answer(0, Result::kFailed, access_reason::kOverloaded, "too many open sockets");
    return;
  }
  AuthorizeAndDial();
}

ConnectionFacts InboundConnection::Facts() const {
  ConnectionFacts facts;
  if (peer() != nullptr) facts.peer = peer()->peer.id;
  facts.source = source().ip();
  facts.destination = original_destination();
  facts.plaintext_admitted = !context()->config->strict;
  return facts;
}

void InboundConnection::AuthorizeAndDial() {
  const Decision decision = AuthorizeInbound(*context()->mesh, Facts());
  if (!decision.allowed) {
    Answer(401, Result::kDenied, decision.reason,
           decision.reason == decision_reason::kPlaintextRefused ? "plaintext-in-strict-mode" : "");
    return;
  }
  set_route(AccessRecord::Route::kLocal);
  set_destination(original_destination());
  TcpStream::ConnectOptions options;
  options.timeout = context()->config->connect_timeout;
  attempt_ = TcpStream::Connect(
      loop(), original_destination(), options,
      [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) { OnDialed(std::move(stream)); });
}

void InboundConnection::OnDialed(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
  attempt_.reset();
  if (ended()) return;
  if (!stream.ok()) {
    absl::string_view reason = access_reason::kConnectFailed;
    if (stream.status().code() == absl::StatusCode::kDeadlineExceeded) {
      reason = access_reason::kConnectTimeout;
    } else if (stream.status().code() == absl::StatusCode::kResourceExhausted) {
      reason = access_reason::kOverloaded;
    }
    Answer(503, Result::kFailed, reason, std::string(stream.status().message()));
    return;
  }
  if ((*stream)->fd() >= context()->socket_limit) {
    Answer(503, Result::kFailed, access_reason::kOverloaded, "too many open sockets");
    return;
  }
  TcpStream* upstream = stream->get();
  if (stream_ != nullptr) {
    stream_->Accept();
    StartRelay(std::move(stream_), *std::move(stream), nullptr, upstream);
  } else {
    TcpStream* downstream = plaintext_.get();
    StartRelay(std::move(plaintext_), *std::move(stream), downstream, upstream);
  }
}

void InboundConnection::Answer(int http_status, Result result, absl::string_view reason,
                               std::string detail) {
  if (stream_ != nullptr) {
    // The peer learns the kind of refusal, not the name of the policy that made it.
    stream_->Reject(http_status,
                    {{kDenyReasonHeader, std::string(reason.substr(0, reason.find(' ')))}});
  }
  Refuse(result, reason, std::move(detail));
}

absl::optional<std::string> InboundConnection::Recheck() {
  const Decision decision = AuthorizeInbound(*context()->mesh, Facts());
  if (decision.allowed) return absl::nullopt;
  return decision.reason;
}

}  // namespace byrnie
