#include "proxy/inbound.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/release_memory.h"
#include "proxy/connect_refusal.h"
#include "proxy/end_code.h"
#include "proxy/proxy_header.h"

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
  if (config.IsPrivatePort(address->port())) {
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
      local_(local) {
  set_source(source);
  set_peer(std::move(peer));
  set_stream(stream_->id());
}

InboundConnection::~InboundConnection() = default;

void InboundConnection::Start() {
  const InboundTarget target = CheckAuthority(*context()->config, local_, authority_);
  // The authority has no zone; a link-local address is reached from the same interface alone.
  set_original_destination(
      SocketAddress(target.address.ip(), target.address.port(), source().zone()));
  if (target.http_status != 200) {
    Answer(target.http_status, Result::kDenied, target.reason,
           absl::StrCat("CONNECT ", authority_.substr(0, kMaxQuoted)));
    return;
  }
  ReleaseMemory(&authority_);
  if (const auto shed =
          context()->overload->WhyNotConnection(-1, Overload::Who::kKnown, share_.connections())) {
    Answer(503, Result::kFailed, shed->reason, std::string(shed->detail));
    return;
  }
  AuthorizeAndDial();
}

ConnectionFacts InboundConnection::Facts() const {
  ConnectionFacts facts;
  facts.peer = peer()->peer.id;
  facts.source = source().ip();
  facts.destination = original_destination();
  return facts;
}

void InboundConnection::AuthorizeAndDial() {
  const Decision decision = AuthorizeInbound(*context()->mesh, Facts());
  if (!decision.allowed) {
    Answer(401, Result::kDenied, decision.reason, "");
    return;
  }
  set_admitted_by(decision.reason);
  LearnSource();
  stream_->SetObserver(&stream_watch_);
  const AppTarget target = FindApp(*context()->config, *context()->mesh, original_destination());
  set_route(AccessRecord::Route::kLocal);
  set_destination(target.address);
  dial_ = std::make_unique<AppDial>(
      context(), Overload::Who::kKnown, source().ip(), target.address,
      target.proxy_protocol ? ProxyHeader(source(), original_destination(), peer()->peer.id.text())
                            : std::string(),
      [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) { OnDialed(std::move(stream)); });
}

void InboundConnection::OnStreamReadable() {
  // What the peer sends with its request is for the application.
  if (ended() || dial_ == nullptr || stream_->error().ok()) return;
  dial_.reset();
  const absl::Status status = stream_->error();
  set_peer_reason(PeerReasonOf(status));
  Refuse(Result::kFailed, access_reason::kResetByDownstream, std::string(status.message()));
}

void InboundConnection::OnDialed(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
  dial_.reset();
  if (ended()) return;
  if (!stream.ok()) {
    Answer(503, Result::kFailed, ReasonOfAppDialFailure(stream.status()),
           std::string(stream.status().message()));
    return;
  }
  TcpStream* app = stream->get();
  // Who has answered, as ztunnel says it: for the peer's telemetry.
  HeaderList headers;
  if (!context()->baggage.empty()) headers.emplace_back("baggage", context()->baggage);
  stream_->Accept(headers);
  StartRelay(std::move(stream_), *std::move(stream), nullptr, app);
}

void InboundConnection::Answer(int http_status, Result result, absl::string_view reason,
                               std::string detail) {
  // The peer learns the kind of refusal, not the name of the policy that made it.
  stream_->Reject(http_status,
                  {{kDenyReasonHeader, std::string(reason.substr(0, reason.find(' ')))}});
  Refuse(result, reason, std::move(detail));
}

void InboundConnection::RefuseLate(Result result, absl::string_view reason, std::string detail) {
  Answer(result == Result::kDenied ? 401 : 503, result, reason, std::move(detail));
}

absl::optional<std::string> InboundConnection::Recheck() {
  Decision decision = AuthorizeInbound(*context()->mesh, Facts());
  if (!decision.allowed) return std::move(decision.reason);
  set_admitted_by(decision.reason);
  return absl::nullopt;
}

}  // namespace byrnie
