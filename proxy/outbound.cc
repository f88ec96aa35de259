#include "proxy/outbound.h"

#include <string>
#include <utility>

#include "proxy/direct_mtls.h"
#include "proxy/hbone_headers.h"
#include "proxy/reason_set.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

using Result = AccessRecord::Result;

absl::string_view ReasonOfTunnelFailure(const absl::Status& status) {
  const absl::optional<absl::string_view> named = ReasonOf(status);
  if (named.has_value()) return *named;
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
      return access_reason::kNoIdentity;
    case absl::StatusCode::kUnauthenticated:
      return access_reason::kTlsFailed;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
      return access_reason::kTunnelRefused;
    case absl::StatusCode::kDeadlineExceeded:
      return access_reason::kConnectTimeout;
    case absl::StatusCode::kResourceExhausted:
      return access_reason::kOverloaded;
    case absl::StatusCode::kInternal:
      return access_reason::kInternal;
    default:
      return access_reason::kConnectFailed;
  }
}

absl::string_view ReasonOfDialFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return access_reason::kConnectTimeout;
    case absl::StatusCode::kResourceExhausted:
      return access_reason::kOverloaded;
    default:
      return access_reason::kConnectFailed;
  }
}

}  // namespace

OutboundConnection::OutboundConnection(WorkerContext* context, std::unique_ptr<TcpStream> app,
                                       absl::StatusOr<SocketAddress> original_destination)
    : Connection(context, AccessRecord::Direction::kOutbound, AccessRecord::Protocol::kPlaintext),
      app_(std::move(app)),
      kernel_destination_(std::move(original_destination)) {}

OutboundConnection::~OutboundConnection() = default;

void OutboundConnection::Start() {
  const absl::StatusOr<SocketAddress> source = app_->RemoteAddress();
  if (source.ok()) set_source(*source);
  if (!kernel_destination_.ok()) {
    Refuse(Result::kDenied, access_reason::kNoOriginalDestination,
           std::string(kernel_destination_.status().message()));
    return;
  }
  set_original_destination(*kernel_destination_);
  const absl::StatusOr<SocketAddress> local = app_->LocalAddress();
  if (local.ok() && *local == original_destination()) {
    // Not redirected, but made to the listener itself: relaying it would come back here.
    Refuse(Result::kDenied, access_reason::kLoop, "made to the proxy's own port");
    return;
  }
  if (context()->config->IsSidecarPort(original_destination().port()) &&
      (original_destination().ip().IsLoopback() ||
       context()->mesh->own_addresses->contains(original_destination().ip()))) {
    Refuse(Result::kDenied, access_reason::kLoop, "made to a port of this pod's sidecar");
    return;
  }
  if (const auto shed = context()->overload->WhyNotConnection(app_->fd())) {
    Refuse(Result::kFailed, shed->reason, std::string(shed->detail));
    return;
  }
  Route(/*may_ask=*/true);
}

void OutboundConnection::Route(bool may_ask) {
  RouteDecision decision =
      context()->mesh->routes->Resolve(original_destination(), context()->random);
  set_service(decision.service);
  switch (decision.kind) {
    case RouteDecision::Kind::kUnknown:
      if (!may_ask) {
        Refuse(Result::kDenied, access_reason::kUnknownAddress,
               "the agent found it, but did not say what it is");
        return;
      }
      context()->resolve(id(), original_destination().ip());
      return;
    case RouteDecision::Kind::kNoEndpoint:
      Refuse(Result::kDenied, decision.reason, "");
      return;
    case RouteDecision::Kind::kPlaintext:
      DialPlain(decision.endpoint);
      return;
    case RouteDecision::Kind::kHbone:
      OpenTunnel(decision);
      return;
    case RouteDecision::Kind::kDirectMtls:
      OpenDirect(decision);
      return;
  }
}

void OutboundConnection::OnResolved(Resolver::Outcome outcome) {
  if (ended()) return;
  switch (outcome) {
    case Resolver::Outcome::kFound:
      Route(/*may_ask=*/false);
      return;
    case Resolver::Outcome::kNotInMesh:
      if (context()->config->outbound_policy == OutboundPolicy::kPassthrough) {
        DialPlain(original_destination());
      } else {
        Refuse(Result::kDenied, access_reason::kUnknownAddress,
               "not in the mesh, and --outbound_policy=deny");
      }
      return;
    case Resolver::Outcome::kTimedOut:
      Refuse(Result::kFailed, access_reason::kResolveTimeout,
             "the agent did not say in time what the address is");
      return;
    case Resolver::Outcome::kUnavailable:
      Refuse(Result::kFailed, access_reason::kResolveUnavailable,
             "the agent could not find out what the address is");
      return;
    case Resolver::Outcome::kOverloaded:
      Refuse(Result::kFailed, access_reason::kOverloaded, "too many addresses are being asked for");
      return;
  }
}

void OutboundConnection::OpenTunnel(const RouteDecision& decision) {
  set_protocol(AccessRecord::Protocol::kHbone);
  set_route(AccessRecord::Route::kTunnel);
  set_destination(decision.endpoint);
  StartSetupTimer();
  request_ = context()->pool->Open(
      TunnelTarget{decision.tunnel, decision.identities},
      ConnectRequest{decision.endpoint.ToString(), HeadersFor(decision)},
      [this](absl::StatusOr<TunnelPool::Opened> opened) { OnTunnel(std::move(opened)); });
}

void OutboundConnection::OpenDirect(const RouteDecision& decision) {
  if (context()->mesh->own_addresses->contains(decision.endpoint.ip())) {
    // What a pod sends to itself does not pass the inbound rules: no proxy would end this TLS.
    DialPlain(decision.endpoint);
    return;
  }
  set_protocol(AccessRecord::Protocol::kMtls);
  set_route(AccessRecord::Route::kDirect);
  set_destination(decision.endpoint);
  StartSetupTimer();
  request_ = context()->direct->Open(
      TunnelTarget{decision.endpoint, decision.identities},
      [this](absl::StatusOr<TunnelPool::Opened> opened) { OnTunnel(std::move(opened)); });
}

void OutboundConnection::StartSetupTimer() {
  const ProxyConfig& config = *context()->config;
  setup_timer_ = loop()->NewTimer([this] { OnSetupTimeout(); });
  // The connection and handshake, then the far proxy's connection to its application.
  setup_timer_->Schedule(2 * config.connect_timeout + config.handshake_timeout);
}

HeaderList OutboundConnection::HeadersFor(const RouteDecision& decision) {
  const TraceParent trace = NewTraceParent(context()->random);
  ConnectClaims claims;
  claims.trace_id = trace.trace_id;
  set_claims(std::move(claims));
  const size_t slash = decision.service.find('/');
  const absl::string_view host = slash == std::string::npos
                                     ? absl::string_view()
                                     : absl::string_view(decision.service).substr(slash + 1);
  HeaderList headers = {{"forwarded", MakeForwarded(source(), host)},
                        {"traceparent", MakeTraceParent(trace)}};
  if (!context()->baggage.empty()) headers.emplace_back("baggage", context()->baggage);
  return headers;
}

void OutboundConnection::OnSetupTimeout() {
  request_.reset();
  Refuse(Result::kFailed, access_reason::kConnectTimeout,
         "the other end's proxy did not answer in time");
}

void OutboundConnection::OnTunnel(absl::StatusOr<TunnelPool::Opened> opened) {
  request_.reset();
  setup_timer_.reset();
  if (ended()) return;
  if (!opened.ok()) {
    set_peer_reason(KnownReason(DenyReasonOf(opened.status())));
    Refuse(opened.status().code() == absl::StatusCode::kPermissionDenied ? Result::kDenied
                                                                         : Result::kFailed,
           ReasonOfTunnelFailure(opened.status()), std::string(opened.status().message()));
    return;
  }
  set_peer(std::move(opened->peer));
  TcpStream* socket = app_.get();
  StartRelay(std::move(app_), std::move(opened->stream), socket, nullptr);
}

void OutboundConnection::DialPlain(const SocketAddress& destination) {
  set_route(AccessRecord::Route::kPassthrough);
  set_destination(destination);
  TcpStream::ConnectOptions options;
  options.timeout = context()->config->connect_timeout;
  attempt_ = TcpStream::Connect(
      loop(), destination, options,
      [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) { OnPlain(std::move(stream)); });
}

void OutboundConnection::OnPlain(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
  attempt_.reset();
  if (ended()) return;
  if (!stream.ok()) {
    Refuse(Result::kFailed, ReasonOfDialFailure(stream.status()),
           std::string(stream.status().message()));
    return;
  }
  TcpStream* downstream = app_.get();
  TcpStream* upstream = stream->get();
  StartRelay(std::move(app_), *std::move(stream), downstream, upstream);
}

}  // namespace byrnie
