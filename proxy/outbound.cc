#include "proxy/outbound.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/net/own_priority.h"
#include "common/net/socket.h"
#include "common/tls/handshake_fault.h"
#include "proxy/connect_refusal.h"
#include "proxy/direct_mtls.h"
#include "proxy/end_reason.h"
#include "proxy/hbone_headers.h"
#include "proxy/reason_set.h"
#include "proxy/source_ports.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// For an endpoint that has said that it goes, where there are others.
constexpr absl::Duration kLeavingPatience = absl::Milliseconds(100);

using Result = AccessRecord::Result;

absl::string_view ReasonOfTunnelFailure(const absl::Status& status) {
  if (IsIdentityMismatch(status)) return access_reason::kPeerIdentityMismatch;
  const absl::optional<absl::string_view> named = ReasonOf(status);
  if (named.has_value()) return *named;
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
      return access_reason::kNoIdentity;
    case absl::StatusCode::kUnauthenticated:
      return end_reason::OfHandshake(status);
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
  const absl::optional<absl::string_view> named = ReasonOf(status);
  if (named.has_value()) return *named;
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return access_reason::kConnectTimeout;
    case absl::StatusCode::kResourceExhausted:
      return access_reason::kOverloaded;
    default:
      return access_reason::kConnectFailed;
  }
}

// Whether another endpoint may do better: this one cannot be reached, does not prove who it is, or
// its application does not listen. Not where policy decided, nor where this proxy is what fails.
bool IsEndpointsFault(const absl::Status& status) {
  if (IsOwnFault(status)) return false;
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsUnauthenticated(status);
}

bool CanBeDialled(const RouteDecision& decision) {
  return decision.kind != RouteDecision::Kind::kUnknown &&
         decision.kind != RouteDecision::Kind::kNoEndpoint;
}

}  // namespace

OutboundConnection::OutboundConnection(WorkerContext* context, std::unique_ptr<TcpStream> app,
                                       absl::StatusOr<SocketAddress> original_destination)
    : Connection(context, AccessRecord::Direction::kOutbound, AccessRecord::Protocol::kPlaintext),
      app_(std::move(app)),
      kernel_destination_(std::move(original_destination)) {}

OutboundConnection::~OutboundConnection() = default;

void OutboundConnection::Start() {
  app_->ResetIfAbandoned();
  app_->HearOfLoss(true);
  app_->SetObserver(&app_watch_);
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
  if (const auto shed = context()->overload->WhyNotOutbound(app_->fd())) {
    Refuse(Result::kFailed, shed->reason, std::string(shed->detail));
    return;
  }
  Route(/*may_ask=*/true);
}

void OutboundConnection::OnAppReadable() {
  // Anything else is for the destination.
  if (ended() || !app_->Lost()) return;
  if (UnreadBytes(app_->fd()) == 0) {
    OnAppGone();
  } else if (last_words_ == nullptr) {
    last_words_ = loop()->NewTimer([this] { OnAppGone(); });
    last_words_->Schedule(kLastWords);
  }
}

void OutboundConnection::OnAppGone() {
  if (ended()) return;
  request_.reset();
  attempt_.reset();
  setup_timer_.reset();
  Refuse(Result::kFailed, access_reason::kResetByDownstream,
         "the application reset before there was a connection to the destination");
}

RouteDecision OutboundConnection::Decide() {
  return context()->mesh->routes->Resolve(
      original_destination(), context()->random, [this](const SocketAddress& endpoint) {
        if (absl::c_linear_search(tried_, endpoint)) return Standing::kTried;
        return IsOut(endpoint) ? Standing::kEjected : Standing::kUsable;
      });
}

bool OutboundConnection::IsOut(const SocketAddress& endpoint) const {
  return context()->outliers->Ejected(endpoint) || context()->pool->Leaving(endpoint.ip());
}

void OutboundConnection::Route(bool may_ask) {
  RouteDecision decision = Decide();
  set_service(decision.service);
  switch (decision.kind) {
    case RouteDecision::Kind::kUnknown:
      if (!may_ask) {
        Refuse(Result::kDenied, access_reason::kUnknownAddress,
               "the agent found it, but did not say what it is");
        return;
      }
      context()->resolve(id(), original_destination().ip(), /*refresh=*/false);
      return;
    case RouteDecision::Kind::kNoEndpoint:
      Refuse(Result::kDenied, decision.reason, std::move(decision.detail));
      return;
    default:
      Try(std::move(decision));
      return;
  }
}

void OutboundConnection::OnResolved(Resolver::Outcome outcome) {
  if (ended()) return;
  if (refresh_ == Refresh::kAsked) {
    OnRefreshed(outcome);
    return;
  }
  switch (outcome) {
    case Resolver::Outcome::kFound:
      Route(/*may_ask=*/false);
      return;
    case Resolver::Outcome::kNotInMesh:
      if (context()->config->outbound_policy == OutboundPolicy::kPassthrough) {
        context()->metrics->passthrough_not_in_mesh->Increment();
        RouteDecision as_it_is;
        as_it_is.kind = RouteDecision::Kind::kPlaintext;
        as_it_is.endpoint = original_destination();
        Try(std::move(as_it_is));
      } else {
        Refuse(Result::kDenied, access_reason::kUnknownAddress,
               "not in the mesh, and --outbound_policy=deny");
      }
      return;
    case Resolver::Outcome::kTimedOut:
      OnLookupFailure(access_reason::kResolveTimeout,
                      "the agent did not say in time what the address is");
      return;
    case Resolver::Outcome::kUnavailable:
      OnLookupFailure(access_reason::kResolveUnavailable,
                      "the agent could not find out what the address is");
      return;
    case Resolver::Outcome::kOverloaded:
      // Not for want of somebody to ask: the question was shed, and so is the connection.
      Refuse(Result::kFailed, access_reason::kOverloaded, "too many addresses are being asked for");
      return;
  }
}

void OutboundConnection::OnLookupFailure(absl::string_view reason, std::string detail) {
  if (!context()->config->passthrough_on_lookup_failure) {
    Refuse(Result::kFailed, reason, std::move(detail));
    return;
  }
  context()->metrics->passthrough_lookup_failed->Increment();
  set_lookup_failure(reason);
  RouteDecision as_it_is;
  as_it_is.kind = RouteDecision::Kind::kPlaintext;
  as_it_is.endpoint = original_destination();
  Try(std::move(as_it_is));
}

void OutboundConnection::Try(RouteDecision decision) {
  decision_ = std::move(decision);
  set_attempts(++attempts_);
  set_destination(decision_.endpoint);
  if (!decision_.service.empty()) context()->outliers->OnAttempt(decision_.endpoint);
  const ProxyConfig& config = *context()->config;
  if (setup_timer_ == nullptr) {
    setup_timer_ = loop()->NewTimer([this] { OnSetupTimer(); });
    // The connection and handshake, then the far proxy's connection to its application.
    setup_ends_ = loop()->Now() + 2 * config.connect_timeout + config.handshake_timeout;
  }
  attempt_began_ = loop()->Now();
  setup_timer_->Schedule(std::min(config.endpoint_patience, setup_ends_ - loop()->Now()));
  switch (decision_.kind) {
    case RouteDecision::Kind::kPlaintext:
      DialPlain();
      return;
    case RouteDecision::Kind::kHbone:
      OpenTunnel();
      return;
    case RouteDecision::Kind::kDirectMtls:
      OpenDirect();
      return;
    case RouteDecision::Kind::kUnknown:
    case RouteDecision::Kind::kNoEndpoint:
      break;
  }
  Refuse(Result::kFailed, access_reason::kInternal, "nothing to dial was decided");
}

void OutboundConnection::OpenTunnel() {
  set_protocol(AccessRecord::Protocol::kHbone);
  set_route(AccessRecord::Route::kTunnel);
  request_ = context()->pool->Open(
      TunnelTarget{decision_.tunnel, decision_.identities},
      ConnectRequest{decision_.endpoint.WithoutZone().ToString(), HeadersFor(decision_)},
      [this](absl::StatusOr<TunnelPool::Opened> opened) { OnTunnel(std::move(opened)); });
  request_->set_on_leaving([this] {
    if (setup_timer_ != nullptr && loop()->Now() < setup_ends_) {
      setup_timer_->Schedule(std::min(kLeavingPatience, setup_ends_ - loop()->Now()));
    }
  });
}

void OutboundConnection::OpenDirect() {
  if (context()->mesh->own_addresses->contains(decision_.endpoint.ip())) {
    // What a pod sends to itself does not pass the inbound rules: no proxy would end this TLS.
    DialPlain();
    return;
  }
  set_protocol(AccessRecord::Protocol::kMtls);
  set_route(AccessRecord::Route::kDirect);
  request_ = context()->direct->Open(
      TunnelTarget{decision_.endpoint, decision_.identities},
      [this](absl::StatusOr<TunnelPool::Opened> opened) { OnTunnel(std::move(opened)); });
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

void OutboundConnection::OnSetupTimer() {
  if (ended()) return;
  if (loop()->Now() >= setup_ends_) {
    OnSetupTimeout();
    return;
  }
  const absl::Duration patience_ends =
      std::min(attempt_began_ + context()->config->endpoint_patience, setup_ends_);
  absl::optional<RouteDecision> better = BetterElsewhere();
  if (loop()->Now() < patience_ends) {
    if (!better.has_value() || attempts_ >= context()->config->connect_attempts ||
        !context()->pool->Leaving(decision_.endpoint.ip())) {
      setup_timer_->Schedule(patience_ends - loop()->Now());
      return;
    }
    // Not for good: it may only have a new certificate, and be the last one left.
    request_.reset();
    context()->metrics->connect_retries->Increment();
    set_last_failure(absl::StrCat(access_reason::kConnectTimeout, ": ",
                                  decision_.endpoint.ToString(),
                                  " is going, and there are others"));
    Try(*std::move(better));
    return;
  }
  if (!better.has_value()) {
    setup_timer_->Schedule(setup_ends_ - loop()->Now());
    return;
  }
  request_.reset();
  attempt_.reset();
  OnAttemptFailed(absl::DeadlineExceededError(
                      absl::StrCat(decision_.endpoint.ToString(), " took longer than ",
                                   absl::FormatDuration(context()->config->endpoint_patience),
                                   " for the connection and the handshake, and there are others")),
                  access_reason::kConnectTimeout);
}

absl::optional<RouteDecision> OutboundConnection::BetterElsewhere() {
  if (attempt_ == nullptr && (request_ == nullptr || !request_->WaitsForHandshake())) {
    return absl::nullopt;
  }
  tried_.push_back(decision_.endpoint);
  RouteDecision next = Decide();
  tried_.pop_back();
  if (!CanBeDialled(next) || IsOut(next.endpoint)) return absl::nullopt;
  return next;
}

void OutboundConnection::OnSetupTimeout() {
  request_.reset();
  attempt_.reset();
  NoteFailedEndpoint();
  Refuse(Result::kFailed, access_reason::kConnectTimeout,
         "the other end's proxy did not answer in time");
}

void OutboundConnection::OnTunnel(absl::StatusOr<TunnelPool::Opened> opened) {
  request_.reset();
  if (ended()) return;
  if (!opened.ok()) {
    set_peer_reason(KnownReason(DenyReasonOf(opened.status())));
    OnAttemptFailed(opened.status(), ReasonOfTunnelFailure(opened.status()));
    return;
  }
  OnConnected();
  set_peer(std::move(opened->peer));
  set_stream(opened->stream_id);
  TcpStream* socket = app_.get();
  StartRelay(std::move(app_), std::move(opened->stream), socket, nullptr);
}

void OutboundConnection::DialPlain() {
  set_protocol(AccessRecord::Protocol::kPlaintext);
  set_route(AccessRecord::Route::kPassthrough);
  TcpStream::ConnectOptions options;
  options.timeout = context()->config->connect_timeout;
  options.source_ports = ChooseSourcePorts(context()->config->local_ports, context()->random);
  options.priority = kOwnPriority;
  attempt_ = TcpStream::Connect(
      loop(), decision_.endpoint, options,
      [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) { OnPlain(std::move(stream)); });
}

void OutboundConnection::OnPlain(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
  attempt_.reset();
  if (ended()) return;
  if (stream.ok()) {
    absl::Status taken = context()->overload->CheckDialled((*stream)->fd());
    if (!taken.ok()) stream = std::move(taken);
  }
  if (!stream.ok()) {
    OnAttemptFailed(stream.status(), ReasonOfDialFailure(stream.status()));
    return;
  }
  OnConnected();
  TcpStream* downstream = app_.get();
  TcpStream* upstream = stream->get();
  StartRelay(std::move(app_), *std::move(stream), downstream, upstream);
}

void OutboundConnection::OnConnected() {
  setup_timer_.reset();
  last_words_.reset();
  app_->HearOfLoss(false);
  if (!decision_.service.empty()) context()->outliers->OnSuccess(decision_.endpoint);
}

void OutboundConnection::OnAttemptFailed(const absl::Status& status, absl::string_view reason) {
  failure_ = status;
  failure_reason_ = reason;
  if (IsIdentityMismatch(status) && refresh_ == Refresh::kNotYet) {
    // Somebody else has the address now, and the news of it has not come yet.
    refresh_ = Refresh::kAsked;
    context()->metrics->stale_endpoints->Increment();
    context()->resolve(id(), decision_.endpoint.ip(), /*refresh=*/true);
    return;
  }
  RetryOrRefuse();
}

void OutboundConnection::OnRefreshed(Resolver::Outcome outcome) {
  refresh_ = Refresh::kDone;
  if (outcome == Resolver::Outcome::kFound) {
    RouteDecision now = Decide();
    const bool the_same =
        now.endpoint == decision_.endpoint && now.identities == decision_.identities;
    if (CanBeDialled(now) && !the_same) {
      if (now.endpoint != decision_.endpoint) NoteFailedEndpoint();
      set_last_failure(absl::StrCat(failure_reason_, ": ", failure_.message()));
      set_service(now.service);
      Try(std::move(now));
      return;
    }
  }
  // The control plane stands by what it said, or knows nobody there: not a connection to carry in
  // any other way.
  RetryOrRefuse();
}

void OutboundConnection::NoteFailedEndpoint() {
  if (decision_.service.empty()) return;
  context()->outliers->OnFailure(decision_.endpoint);
  tried_.push_back(decision_.endpoint);
}

void OutboundConnection::RetryOrRefuse() {
  const bool of_service = !decision_.service.empty();
  if (of_service && IsEndpointsFault(failure_)) {
    NoteFailedEndpoint();
    if (attempts_ < context()->config->connect_attempts) {
      RouteDecision next = Decide();
      if (CanBeDialled(next)) {
        context()->metrics->connect_retries->Increment();
        set_last_failure(absl::StrCat(failure_reason_, ": ", failure_.message()));
        Try(std::move(next));
        return;
      }
    }
  }
  if (failure_reason_ == tunnel_reason::kPeerSilent && !std::exchange(tried_anew_, true)) {
    // Nobody else is left. It may be that tunnel alone that leads nowhere any more, because a
    // device on the way has forgotten it: another one shows.
    set_last_failure(absl::StrCat(failure_reason_, ": ", failure_.message()));
    Try(RouteDecision(decision_));
    return;
  }
  Refuse(absl::IsPermissionDenied(failure_) ? Result::kDenied : Result::kFailed, failure_reason_,
         std::string(failure_.message()));
}

}  // namespace byrnie
