#include "proxy/redirected.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/prefixed_stream.h"
#include "proxy/asked_addresses.h"
#include "proxy/end_reason.h"
#include "proxy/peer_info.h"
#include "proxy/proxy_header.h"
#include "proxy/trust_change.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {

namespace {

using Result = AccessRecord::Result;

// What admits a connection that no policy is asked about.
constexpr absl::string_view kDeclaredProbe = "declared-probe";

}  // namespace

RedirectedConnection::RedirectedConnection(WorkerContext* context,
                                           std::unique_ptr<TcpStream> client,
                                           absl::StatusOr<SocketAddress> original_destination)
    : Connection(context, AccessRecord::Direction::kInbound, AccessRecord::Protocol::kPlaintext,
                 Counted::kLater),
      kernel_destination_(std::move(original_destination)),
      client_(std::move(client)),
      client_socket_(client_.get()) {}

RedirectedConnection::~RedirectedConnection() { LeaveLine(); }

void RedirectedConnection::Start() {
  client_->ResetIfAbandoned();
  const absl::StatusOr<SocketAddress> source = client_->RemoteAddress();
  if (!source.ok()) {
    // Policies speak of where it comes from.
    Refuse(Result::kDenied, access_reason::kNoOriginalDestination,
           std::string(source.status().message()));
    return;
  }
  set_source(*source);
  if (!kernel_destination_.ok()) {
    Refuse(Result::kDenied, access_reason::kNoOriginalDestination,
           std::string(kernel_destination_.status().message()));
    return;
  }
  set_original_destination(*kernel_destination_);
  const absl::StatusOr<SocketAddress> local = client_->LocalAddress();
  const bool translated = context()->config->inbound_interception == InboundInterception::kRedirect;
  if ((translated && local.ok() && *local == original_destination()) ||
      context()->config->IsSidecarPort(original_destination().port())) {
    Refuse(Result::kDenied, access_reason::kLoop, "made to a port of this pod's sidecar");
    return;
  }
  const MeshSnapshot& mesh = *context()->mesh;
  probe_ = context()->config->inbound.IsProbe(this->source().ip(), original_destination().port(),
                                              *mesh.gateways);
  if (mesh.policies == nullptr && !probe_) {
    // Nobody can be allowed, whoever it may turn out to be.
    Refuse(Result::kDenied, decision_reason::kNoPolicySnapshot, "");
    return;
  }
  target_ = FindApp(*context()->config, mesh, original_destination());
  since_ = loop()->Now();
  Decision decision;
  if (PlaintextMayPass(&decision)) {
    if (!Admit()) return;
    DialEagerly();
  } else {
    if (const auto shed = context()->overload->WhyNotStranger(client_->fd())) {
      Refuse(Result::kFailed, shed->reason, std::string(shed->detail));
      return;
    }
    if (!Join(context()->direct_arrivals)) return;
    ScheduleDeadline(context()->config->first_byte_timeout);
  }
  sniffer_ = std::make_unique<Sniffer>(client_.get(), kDirectAlpn, context()->scratch,
                                       context()->hello_room, this->source().ip(),
                                       [this](Sniffer::Kind kind) { OnSniffed(kind); });
  sniffer_->set_on_undecided([this] { OnUndecided(); });
}

bool RedirectedConnection::Admit() {
  LeaveLine();
  if (peer() != nullptr) {
    const int most = context()->config->max_streams_per_peer;
    share_ =
        context()->counts->inbound.AddConnection(peer()->peer.id.text(), static_cast<size_t>(most));
    if (!share_) {
      Refuse(Result::kFailed, tunnel_reason::kStreamLimit,
             absl::StrCat("the peer has ", most, " connections open"));
      return false;
    }
  }
  if (counted()) return true;
  Count();
  const auto shed =
      context()->overload->WhyNotConnection(client_socket_->fd(), Who(), share_.connections());
  if (!shed.has_value()) return true;
  Refuse(Result::kFailed, shed->reason, std::string(shed->detail));
  return false;
}

Overload::Who RedirectedConnection::Who() const {
  return probe_ || peer() != nullptr ? Overload::Who::kKnown : Overload::Who::kUnknown;
}

Decision RedirectedConnection::Decide() const {
  ConnectionFacts facts;
  if (peer() != nullptr) facts.peer = peer()->peer.id;
  facts.source = source().ip();
  facts.destination = original_destination();
  facts.plaintext_admitted = !context()->config->inbound.StrictAt(original_destination().port());
  return AuthorizeInbound(*context()->mesh, facts);
}

bool RedirectedConnection::PlaintextMayPass(Decision* decision) const {
  // The operator has declared the port, and the kernel says whence it comes. Policies are not
  // asked: they know no probes, and a pod is not to die of the control plane's absence.
  if (probe_) return true;
  *decision = Decide();
  return decision->allowed;
}

RedirectedConnection::Custom RedirectedConnection::CustomOfPeer() const {
  const RoutingTable& routes = *context()->mesh->routes;
  const Workload* own = routes.FindWorkload(original_destination().ip());
  if (own == nullptr || own->tunnel != Workload::Tunnel::kLegacyMtls) return Custom::kAnyhow;
  const Workload* other = routes.FindWorkload(source().ip());
  if (other == nullptr) return Custom::kUnknown;
  return other->tunnel == Workload::Tunnel::kNone ? Custom::kAnyhow : Custom::kDirectMtls;
}

void RedirectedConnection::DialEagerly() {
  const Custom custom = probe_ ? Custom::kAnyhow : CustomOfPeer();
  if (custom == Custom::kDirectMtls) return AwaitFirstWord();
  if (custom == Custom::kUnknown && context()->asked_peers->MayAsk(source().ip())) {
    context()->resolve(id(), source().ip(), /*refresh=*/false);
  }
  DialUnproven();
}

void RedirectedConnection::DialUnproven() {
  eager_ = true;
  Dial();
  const absl::Duration idle = context()->relay_options.idle_timeout;
  if (idle == absl::InfiniteDuration()) return;
  since_ = loop()->Now();
  ScheduleDeadline(idle);
}

void RedirectedConnection::AwaitFirstWord() {
  since_ = loop()->Now();
  ScheduleDeadline(context()->config->first_byte_timeout);
}

void RedirectedConnection::OnNoFirstWord() {
  patient_ = false;
  if (server_spoke_) return CarryPlaintext(Sniffer::Kind::kPlaintext, /*server_first=*/true);
  if (eager_) {
    return Refuse(Result::kFailed, access_reason::kIdleTimeout, "neither end has said anything");
  }
  // Policies may have changed meanwhile, and Recheck leaves alone who may yet prove himself.
  Decision decision;
  if (PlaintextMayPass(&decision)) return DialUnproven();
  if (Join(context()->direct_arrivals)) OnStillSilent();
}

void RedirectedConnection::ScheduleDeadline(absl::Duration from_since) {
  if (deadline_ == nullptr) deadline_ = loop()->NewTimer([this] { OnDeadline(); });
  deadline_->Schedule(since_ + from_since - loop()->Now());
}

void RedirectedConnection::OnUndecided() {
  if (ended()) return;
  if (line_ == nullptr) since_ = loop()->Now();
  ScheduleDeadline(context()->config->handshake_timeout);
}

void RedirectedConnection::OnDeadline() {
  if (ended()) return;
  if (state_ == State::kCarrying) return OnClientWatch();
  if (state_ == State::kWaiting) {
    return Refuse(Result::kFailed, tunnel_reason::kHandshakeTimeout,
                  "its turn did not come in time");
  }
  const bool silent = sniffer_->size() == 0;
  // What has come in this turn counts.
  sniffer_->Poll();
  if (ended() || state_ != State::kSniffing) return;
  if (silent && sniffer_->size() > 0) return;
  if (silent && line_ == nullptr) return OnNoFirstWord();
  // There plaintext may pass, and nobody can say that it is none.
  if (line_ == nullptr) return CarryPlaintext(Sniffer::Kind::kPlaintext, /*server_first=*/false);
  if (silent) return OnStillSilent();
  Refuse(Result::kDenied, access_reason::kClientHelloTimeout,
         absl::StrCat("the client had sent ", sniffer_->Describe(), " after ",
                      absl::FormatDuration(context()->config->handshake_timeout)));
}

void RedirectedConnection::OnStillSilent() {
  const absl::Duration waited = loop()->Now() - since_;
  const absl::Duration most = context()->config->handshake_timeout;
  // As HandshakeGate does with those to the tunnel port.
  if (waited < most && !line_->Crowded(source().ip())) {
    return ScheduleDeadline(std::min(most, waited + context()->config->first_byte_timeout));
  }
  LeaveLine();  // Others that are looked at in this turn have the room already.
  Refuse(Result::kFailed, tunnel_reason::kHandshakeSilent,
         absl::StrCat("no byte within ",
                      absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(100)))));
}

void RedirectedConnection::OnServerSpoke() {
  if (state_ != State::kSniffing) return;
  // Both may have spoken in this turn; a client that asked for the mesh by then gets it.
  sniffer_->Poll();
  if (ended() || state_ != State::kSniffing) return;
  // The client has spoken first: the greeting waits.
  if (sniffer_->size() > 0) return;
  // Discovery knows by now that the client will.
  if (patient_ && !probe_ && CustomOfPeer() == Custom::kDirectMtls) {
    if (!std::exchange(server_spoke_, true)) AwaitFirstWord();
    return;
  }
  CarryPlaintext(Sniffer::Kind::kPlaintext, /*server_first=*/true);
}

void RedirectedConnection::OnSniffed(Sniffer::Kind kind) {
  if (ended()) return;
  switch (kind) {
    case Sniffer::Kind::kMeshTls:
      return AwaitTurn();
    case Sniffer::Kind::kOtherTls:
    case Sniffer::Kind::kPlaintext:
      return CarryPlaintext(kind, /*server_first=*/false);
    case Sniffer::Kind::kLost:
      // What came before the reset is the application's, where plaintext may pass, as it would be
      // without a proxy.
      if (sniffer_->size() > 0 && line_ == nullptr) {
        return CarryPlaintext(kind, /*server_first=*/false);
      }
      return Refuse(Result::kFailed, access_reason::kResetByDownstream,
                    std::string(client_->error().message()));
    case Sniffer::Kind::kOverloaded:
      // Whoever carries it on need not know its end. No hello of the mesh is as long.
      if (line_ == nullptr) return CarryPlaintext(kind, /*server_first=*/false);
      return Refuse(Result::kFailed, access_reason::kBuffersFull,
                    absl::StrCat(sniffer_->Describe(), ", and no room for more of it"));
  }
}

void RedirectedConnection::CarryPlaintext(Sniffer::Kind kind, bool server_first) {
  const ProxyMetrics::FirstBytes& count = context()->metrics->first_bytes;
  Decision decision;
  if (!PlaintextMayPass(&decision)) return RefusePlaintext(kind, decision);
  if (!Admit()) return;
  set_admitted_by(probe_ ? kDeclaredProbe : decision.reason);
  state_ = State::kCarrying;
  deadline_.reset();
  if (probe_) {
    set_protocol(AccessRecord::Protocol::kProbe);
    count.probe->Increment();
  } else if (kind == Sniffer::Kind::kOtherTls) {
    set_protocol(AccessRecord::Protocol::kTls);
    count.tls->Increment();
  } else {
    (server_first             ? count.server_first
     : sniffer_->unfinished() ? count.unfinished_hello
                              : count.plaintext)
        ->Increment();
  }
  std::string bytes = sniffer_->TakeBytes();
  sniffer_.reset();
  if (bytes.empty()) {
    downstream_ = std::move(client_);
  } else {
    downstream_ = std::make_unique<PrefixedStream>(loop(), std::move(bytes), std::move(client_));
  }
  if (app_ == nullptr && dial_ == nullptr) Dial();
  MaybeRelay();
}

void RedirectedConnection::RefusePlaintext(Sniffer::Kind kind, const Decision& decision) {
  std::string detail;
  if (decision.reason == decision_reason::kPlaintextRefused) {
    detail = kind == Sniffer::Kind::kOtherTls ? "application-tls-in-strict-mode"
                                              : "plaintext-in-strict-mode";
    absl::StrAppend(&detail, ": ", sniffer_->Describe());
  }
  Refuse(Result::kDenied, decision.reason, std::move(detail));
}

bool RedirectedConnection::Join(HandshakeTurns* line) {
  const HandshakeTurns::Place place = line->Join(source().ip(), this);
  switch (place.outcome) {
    case HandshakeQueue::Outcome::kAdmitted:
      line_ = line;
      place_ = place.id;
      return true;
    case HandshakeQueue::Outcome::kSourceFull:
      Refuse(Result::kFailed, tunnel_reason::kHandshakeSourceLimit,
             absl::StrCat(line->limits().per_source, " handshakes of this address are under way"));
      return false;
    case HandshakeQueue::Outcome::kFull:
      Refuse(Result::kFailed, tunnel_reason::kHandshakeLimit,
             absl::StrCat(line->limits().total, " handshakes are under way"));
      return false;
  }
  return false;
}

void RedirectedConnection::LeaveLine() {
  if (line_ != nullptr) std::exchange(line_, nullptr)->Leave(place_);
}

void RedirectedConnection::AwaitTurn() {
  set_protocol(AccessRecord::Protocol::kMtls);
  // Of who has arrived a while ago the time goes on.
  if (line_ == nullptr) since_ = loop()->Now();
  LeaveLine();
  if (!Join(context()->direct_turns)) return;
  line_->Spoke(place_);
  state_ = State::kWaiting;
  ScheduleDeadline(context()->config->handshake_timeout);
  if (target_.proxy_protocol) {
    // It was told of a client without an identity.
    dial_.reset();
    app_.reset();
  }
}

void RedirectedConnection::LookAgain() {
  if (state_ == State::kSniffing && sniffer_ != nullptr) sniffer_->Poll();
}

void RedirectedConnection::OnTurn() {
  if (ended()) return;
  if (!counted()) {
    // It costs more than a socket from here on.
    if (const auto shed = context()->overload->WhyNotTunnel(client_socket_->fd())) {
      Refuse(Result::kFailed, shed->reason, std::string(shed->detail));
      return;
    }
  }
  identity_ = context()->mesh->identity;
  const absl::Status valid = identity_ == nullptr
                                 ? absl::FailedPreconditionError("no identity yet")
                                 : identity_->identity->CheckValidAt(loop()->WallNow());
  if (!valid.ok()) {
    Refuse(Result::kFailed, access_reason::kNoIdentity, std::string(valid.message()));
    return;
  }
  deadline_.reset();
  state_ = State::kHandshaking;
  std::string bytes = sniffer_->TakeBytes();
  sniffer_.reset();
  TlsStream::Options options;
  // What waiting for its turn has left of it.
  options.handshake_timeout = context()->config->handshake_timeout - (loop()->Now() - since_);
  options.federated = true;
  options.budget = context()->relay_options.budget;
  options.scratch = context()->scratch_pool;
  tls_ = TlsStream::Create(
      loop(), std::make_unique<PrefixedStream>(loop(), std::move(bytes), std::move(client_)),
      identity_->direct_server, std::move(options),
      [this](absl::Status status) { OnHandshake(std::move(status)); });
}

void RedirectedConnection::OnEvicted() {
  line_ = nullptr;
  if (ended()) return;
  if (state_ == State::kHandshaking) {
    context()->metrics->CountHandshake(AccessRecord::Direction::kInbound,
                                       absl::UnavailableError("evicted"));
  }
  const bool silent = state_ == State::kSniffing && sniffer_->size() == 0;
  Refuse(Result::kFailed, tunnel_reason::kHandshakeEvicted,
         silent ? "silent, and the room was needed" : "unfinished, and the room was needed");
}

void RedirectedConnection::OnHandshake(absl::Status status) {
  LeaveLine();
  state_ = State::kCarrying;
  if (ended()) return;
  context()->metrics->CountHandshake(AccessRecord::Direction::kInbound, status);
  if (!status.ok()) return RefuseHandshake(status);
  const std::shared_ptr<const IdentityInUse> used = std::move(identity_);
  identity_.reset();
  const IdentitySnapshot& own = *used->identity;
  const auto made =
      std::make_shared<PeerInfo>(PeerInfo{tls_->peer(), tls_->session(), own.id(), own.generation(),
                                          own.not_after(), tls_->peer_chain()});
  set_peer(made);
  // The handshake was judged by the identity and the bundles it began with.
  const IdentitySnapshot& now = *context()->mesh->identity->identity;
  if (now.generation() != own.generation()) {
    const absl::Status proven = CheckProven(now.bundles(), *peer(), loop()->WallNow());
    if (!proven.ok()) return RefuseHandshake(proven);
    if (context()->config->identity_expiry == IdentityExpiry::kStrict) {
      return Refuse(Result::kFailed, access_reason::kIdentityExpired,
                    "the own certificate was replaced during the handshake");
    }
  }
  context()->counts->proofs.Record(source(), now, loop()->WallNow(), made.get());
  const Decision decision = Decide();
  if (!decision.allowed) {
    // Else the peer sees no more than a connection that breaks.
    tls_->DenyAccess();
    return Refuse(Result::kDenied, decision.reason, "");
  }
  if (!Admit()) return;
  set_admitted_by(decision.reason);
  LearnSource();
  context()->metrics->first_bytes.mtls->Increment();
  downstream_ = std::move(tls_);
  if (app_ == nullptr && dial_ == nullptr) Dial();
  MaybeRelay();
}

void RedirectedConnection::RefuseHandshake(const absl::Status& status) {
  const bool refused = status.code() == absl::StatusCode::kUnauthenticated;
  Refuse(refused ? Result::kDenied : Result::kFailed,
         status.code() == absl::StatusCode::kDeadlineExceeded ? access_reason::kConnectTimeout
                                                              : end_reason::OfHandshake(status),
         std::string(status.message()));
}

void RedirectedConnection::Dial() {
  set_route(AccessRecord::Route::kLocal);
  set_destination(target_.address);
  std::string preamble;
  if (target_.proxy_protocol) {
    preamble = ProxyHeader(source(), original_destination(),
                           peer() == nullptr ? absl::string_view() : peer()->peer.id.text());
  }
  dial_ = std::make_unique<AppDial>(
      context(), Who(), source().ip(), target_.address, std::move(preamble),
      [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) { OnDialed(std::move(stream)); });
}

void RedirectedConnection::WatchClient() {
  since_ = loop()->Now();
  ScheduleDeadline(kLastWords);
}

void RedirectedConnection::OnClientWatch() {
  if (std::exchange(client_lost_, client_socket_->Lost())) {
    dial_.reset();
    Refuse(Result::kFailed, access_reason::kResetByDownstream,
           "the client reset before there was a connection to the application");
    return;
  }
  WatchClient();
}

void RedirectedConnection::OnDialed(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
  dial_.reset();
  if (ended()) return;
  if (!stream.ok()) {
    Refuse(absl::IsPermissionDenied(stream.status()) ? Result::kDenied : Result::kFailed,
           ReasonOfAppDialFailure(stream.status()), std::string(stream.status().message()));
    return;
  }
  app_ = *std::move(stream);
  Complete(StageTimes::kDial);
  if (state_ == State::kSniffing) app_->SetObserver(&server_watch_);
  MaybeRelay();
}

void RedirectedConnection::MaybeRelay() {
  if (downstream_ == nullptr) return;
  if (app_ == nullptr) return WatchClient();
  deadline_.reset();
  TcpStream* app_socket = app_.get();
  StartRelay(std::move(downstream_), std::move(app_), client_socket_, app_socket);
}

absl::optional<std::string> RedirectedConnection::Recheck() {
  // Until the handshake is over nothing has been allowed that could be taken back; what it will be
  // decided by is what holds then.
  const bool mtls = state_ == State::kWaiting || state_ == State::kHandshaking || peer() != nullptr;
  if (mtls && peer() == nullptr) return absl::nullopt;
  if (state_ == State::kSniffing && !eager_) return absl::nullopt;
  if (probe_ && !mtls) return absl::nullopt;
  Decision decision = Decide();
  if (!decision.allowed) return std::move(decision.reason);
  if (state_ == State::kCarrying) set_admitted_by(decision.reason);
  return absl::nullopt;
}

}  // namespace byrnie
