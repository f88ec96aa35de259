#include "proxy/connection.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/flow/source_network.h"
#include "proxy/access_report.h"
#include "proxy/asked_addresses.h"
#include "proxy/connection_registry.h"
#include "proxy/end_code.h"
#include "proxy/end_reason.h"
#include "proxy/tcp_labels.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// Of --max_connection_age, either way.
constexpr double kAgeJitter = 0.1;

// The closed set's word for how a relay ended by itself.
absl::string_view ReasonOf(const RelayResult& result, AccessRecord::Protocol protocol) {
  if (result.status.ok()) return access_reason::kClosed;
  // Of this connection's own TLS. What its peer did to a tunnel is said of the tunnel.
  if (protocol == AccessRecord::Protocol::kMtls) {
    const absl::string_view fault = end_reason::OfSession(result.status);
    if (!fault.empty()) return fault;
  }
  switch (result.status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return result.deadline == RelayResult::Deadline::kIdle ? access_reason::kIdleTimeout
                                                             : access_reason::kHalfCloseTimeout;
    case absl::StatusCode::kUnauthenticated:
      // With TLS 1.3 a client is done before the server has judged it, so that the refusal of
      // direct mTLS comes when the relay runs already.
      if (result.ended_by == RelayResult::Side::kUpstream && result.bytes_to_downstream == 0) {
        return access_reason::kRefusedByPeer;
      }
      break;
    default:
      break;
  }
  return result.ended_by == RelayResult::Side::kDownstream ? access_reason::kResetByDownstream
                                                           : access_reason::kResetByUpstream;
}

// What became of a connection that was carried until it ended for `reason`, here or at the peer.
AccessRecord::Result ResultOf(absl::string_view reason) {
  constexpr absl::string_view kDenied[] = {
      access_reason::kPolicyChanged, access_reason::kRefusedByPeer,  end_reason::kTlsProtocol,
      end_reason::kTlsFlood,         tunnel_reason::kTunnelProtocol, tunnel_reason::kTunnelFlood,
  };
  constexpr absl::string_view kCarriedToItsEnd[] = {
      access_reason::kClosed,           access_reason::kResetByDownstream,
      access_reason::kResetByUpstream,  access_reason::kIdleTimeout,
      access_reason::kHalfCloseTimeout,
  };
  if (absl::c_linear_search(kDenied, reason)) return AccessRecord::Result::kDenied;
  return absl::c_linear_search(kCarriedToItsEnd, reason) ? AccessRecord::Result::kAllowed
                                                         : AccessRecord::Result::kFailed;
}

// The last stage of a set-up. Where the application was dialled before anybody spoke it may be long
// over when the relay starts or the connection ends: the wait for plaintext's first word is no
// stage.
StageTimes::Stage LastStageOf(AccessRecord::Route route) {
  return route == AccessRecord::Route::kTunnel ? StageTimes::kTunnel : StageTimes::kDial;
}

}  // namespace

Connection::Connection(WorkerContext* context, AccessRecord::Direction direction,
                       AccessRecord::Protocol protocol, Counted counted)
    : context_(context), direction_(direction), protocol_(protocol), stages_(context->loop->Now()) {
  if (counted == Counted::kAtOnce) Count();
}

Connection::~Connection() {
  if (!ended_ && counted_) context_->metrics->direction(direction_).open->Add(-1);
}

void Connection::Count() {
  if (counted_) return;
  counted_ = true;
  const ProxyMetrics::PerDirection& metrics = context_->metrics->direction(direction_);
  metrics.opened->Increment();
  metrics.open->Add(1);
  const absl::Duration max_age = context_->config->max_connection_age;
  if (max_age == absl::InfiniteDuration()) return;
  // Connections that began together do not all come back together.
  ends_at_ = stages_.accepted() +
             max_age * absl::Uniform(context_->random, 1 - kAgeJitter, 1 + kAgeJitter);
}

void Connection::set_peer(std::shared_ptr<const PeerInfo> peer) {
  peer_ = std::move(peer);
  if (peer_ == nullptr) return;
  context_->registry->NoteExpiry(peer_->not_after());
  if (direction_ == AccessRecord::Direction::kOutbound && peer_->proof != nullptr) {
    context_->registry->NoteRenewal(peer_->proof->renew_at());
  }
  // Inbound through a tunnel, the peer is known before anything else.
  if (!stages_.Completed(StageTimes::kDestination)) return;
  if (peer_->verified_at == absl::ZeroDuration()) {
    Complete(StageTimes::kTls);
    return;
  }
  // Through a tunnel that was there already these take no time.
  stages_.Complete(StageTimes::kDial, peer_->dialled_at);
  stages_.Complete(StageTimes::kTls, peer_->verified_at);
}

void Connection::LearnSource() {
  if (context_->mesh->routes->FindWorkload(source_.ip()) != nullptr) return;
  if (!context_->asked_peers->MayAsk(source_.ip())) return;
  context_->resolve(id_, source_.ip(), /*refresh=*/false);
}

void Connection::set_admitted_by(absl::string_view reason) {
  // Thousands of connections have few reasons between them.
  std::shared_ptr<const std::string>& last = context_->last_admission;
  if (last == nullptr || *last != reason) last = std::make_shared<const std::string>(reason);
  admitted_by_ = last;
}

void Connection::StartRelay(std::unique_ptr<ByteStream> downstream,
                            std::unique_ptr<ByteStream> upstream, TcpStream* first,
                            TcpStream* second) {
  DCHECK(relay_ == nullptr && !ended_);
  const StageTimes::Stage last = LastStageOf(route_);
  if (!stages_.Completed(last)) Complete(last);
  OpenSeries();
  if (context_->flows != nullptr) {
    flow_ = context_->flows->Open(FlowKeyOf(AccessRecord::Result::kAllowed), source_.ip(),
                                  admitted_by_ == nullptr ? "" : *admitted_by_);
  }
  if (context_->config->access_log == AccessLog::kOpenClose) {
    AccessRecord record = MakeRecord();
    record.event = AccessRecord::Event::kOpen;
    ReportOpen(*context_, record);
  }
  for (TcpStream* socket : {first, second}) {
    if (socket != nullptr) socket->ResetIfAbandoned();
  }
  relay_ = std::make_unique<Relay>(context_->loop, context_->scratch, std::move(downstream),
                                   std::move(upstream), &context_->relay_options,
                                   [this](const RelayResult& result) { OnRelayDone(result); });
  relay_->NoteNextMove(id_);
  relay_->Start();
}

void Connection::AbortIfAged() {
  if (context_->loop->Now() >= ends_at_) {
    Abort(access_reason::kMaxAge, "open for --max_connection_age");
  }
}

void Connection::OnRelayDone(const RelayResult& result) {
  const absl::string_view reason =
      abort_reason_.empty() ? ReasonOf(result, protocol_) : absl::string_view(abort_reason_);
  // A refusal that comes late because of TLS 1.3 is no end of a connection that was open.
  const absl::string_view of_peer = abort_reason_.empty() && reason != access_reason::kRefusedByPeer
                                        ? PeerReasonOf(result.status)
                                        : absl::string_view();
  if (!of_peer.empty()) set_peer_reason(of_peer);
  Finish(ResultOf(of_peer.empty() ? reason : of_peer), reason,
         result.status.ok() ? "" : result.reason, result.bytes_to_upstream,
         result.bytes_to_downstream);
}

void Connection::Abort(absl::string_view reason, absl::string_view detail) {
  if (ended_ || !abort_reason_.empty()) return;
  if (relay_ == nullptr) {
    RefuseLate(ResultOf(reason), reason, std::string(detail));
    return;
  }
  // One that is ending already has a reason of its own.
  if (relay_->Abort(absl::CancelledError(detail.empty() ? reason : detail), EndCodeOf(reason))) {
    abort_reason_ = std::string(reason);
  }
}

void Connection::Cut(absl::string_view reason, absl::string_view detail) {
  if (ended_) return;
  if (relay_ == nullptr) {
    RefuseLate(ResultOf(reason), reason, std::string(detail));
    return;
  }
  abort_reason_ = std::string(reason);
  relay_->Cut(absl::CancelledError(detail.empty() ? reason : detail), EndCodeOf(reason));
}

void Connection::GiveUp(absl::string_view reason, absl::string_view detail) {
  if (ended_) return;
  if (relay_ != nullptr && relay_->LeaveToKernel()) return;
  const std::string first = abort_reason_.empty() ? std::string(reason) : abort_reason_;
  Cut(first, detail);
}

void Connection::Refuse(AccessRecord::Result result, absl::string_view reason, std::string detail) {
  Finish(result, reason, std::move(detail), 0, 0);
}

void Connection::Finish(AccessRecord::Result result, absl::string_view reason, std::string detail,
                        uint64_t bytes_sent, uint64_t bytes_received) {
  if (ended_) return;
  ended_ = true;
  Count();
  context_->metrics->direction(direction_).open->Add(-1);
  if (relay_ == nullptr && !stages_.Completed(LastStageOf(route_))) stages_.GiveUp(loop()->Now());
  NoteFirstBytes();
  OpenSeries();
  AddBytes(bytes_sent, bytes_received);
  series_.Close(context_->tcp_series, ResponseFlagsOf(result, reason));
  if (context_->flows != nullptr) {
    if (relay_ == nullptr) {
      context_->flows->NoteRefused(FlowKeyOf(result), source_.ip(), reason);
    } else {
      context_->flows->Close(flow_);
    }
  }
  AccessRecord record = MakeRecord();
  record.result = result;
  record.reason = std::string(reason);
  record.detail = std::move(detail);
  record.bytes_sent = bytes_sent;
  record.bytes_received = bytes_received;
  ReportEnd(*context_, record);
  context_->registry->Remove(this);
}

void Connection::OpenSeries() {
  if (series_.opened() || context_->tcp_series == nullptr) return;
  TcpParties parties;
  parties.direction = direction_;
  parties.source = source_;
  parties.destination = destination_.value_or(original_destination_);
  parties.service = service_;
  parties.peer = peer_.get();
  series_.Open(context_->tcp_series, LabelsOf(*context_->mesh, parties));
}

FlowKeyView Connection::FlowKeyOf(AccessRecord::Result verdict) const {
  FlowKeyView key;
  key.direction = direction_;
  key.path = FlowPathOf(protocol_);
  key.verdict = verdict;
  if (peer_ != nullptr) key.peer = peer_->peer.id.text();
  if (direction_ == AccessRecord::Direction::kInbound) {
    if (peer_ == nullptr) key.source_network = SourceNetworkOf(source_.ip()).address;
    key.destination = original_destination_;
  } else {
    key.destination = destination_.value_or(original_destination_);
    key.service = service_;
  }
  return key;
}

void Connection::NoteFirstBytes() {
  if (relay_ == nullptr) return;
  const std::pair<StageTimes::Stage, absl::Duration> bytes[] = {
      {StageTimes::kFirstSent, relay_->first_byte_to_upstream()},
      {StageTimes::kFirstReceived, relay_->first_byte_to_downstream()}};
  for (const auto& [stage, at] : bytes) {
    if (at != absl::InfiniteDuration()) stages_.Note(stage, at);
  }
}

AccessRecord Connection::MakeRecord() const {
  AccessRecord record;
  record.connection = absl::StrCat(context_->worker, "-", id_);
  record.duration = context_->loop->Now() - stages_.accepted();
  record.start = context_->loop->WallNow() - record.duration;
  record.stages = stages_;
  record.direction = direction_;
  record.protocol = protocol_;
  record.route = route_;
  record.peer_reason = peer_reason_;
  if (admitted_by_ != nullptr) record.admitted_by = *admitted_by_;
  record.source = source_;
  record.destination = destination_;
  record.original_destination = original_destination_;
  record.service = service_;
  record.attempts = attempts_;
  record.last_failure = last_failure_;
  record.lookup_failure = std::string(lookup_failure_);
  if (peer_ != nullptr) {
    record.peer_identity = peer_->peer.id;
    record.own_identity = peer_->own_id;
    record.tls_version = peer_->session.version;
    record.tls_cipher = peer_->session.cipher;
    record.tls_group = peer_->session.group;
  }
  if (claims_ != nullptr) {
    record.trace_id = claims_->trace_id;
    record.claimed_workload = claims_->workload;
    record.forwarded_for = claims_->forwarded_for;
  }
  return record;
}

void Connection::CountBytes() {
  if (relay_ != nullptr && !ended_) {
    relay_->NoteNextMove(id_);
    AddBytes(relay_->bytes_to_upstream(), relay_->bytes_to_downstream());
  }
}

void Connection::AddBytes(uint64_t sent, uint64_t received) {
  const ProxyMetrics::PerDirection& metrics = context_->metrics->direction(direction_);
  if (sent == counted_sent_ && received == counted_received_) return;
  metrics.bytes_sent->Increment(sent - counted_sent_);
  metrics.bytes_received->Increment(received - counted_received_);
  // Istio speaks of request and response: what the destination sends is sent.
  series_.AddBytes(received - counted_received_, sent - counted_sent_);
  if (flow_ != nullptr) {
    context_->flows->AddBytes(flow_, sent - counted_sent_, received - counted_received_);
  }
  counted_sent_ = sent;
  counted_received_ = received;
}

bool Connection::Filter::Admits(const Connection& connection) const {
  if (direction.has_value() && connection.direction_ != *direction) return false;
  return peer.empty() || (connection.peer_ != nullptr && connection.peer_->peer.id.text() == peer);
}

Connection::View Connection::MakeView() const {
  View view;
  view.id = id_;
  view.direction = direction_;
  view.state = ended_                     ? "ended"
               : !abort_reason_.empty()   ? "ending"
               : relay_ != nullptr        ? "open"
               : destination_.has_value() ? "connecting"
                                          : "deciding";
  view.source = source_;
  view.original_destination = original_destination_;
  view.destination = destination_;
  view.service = service_;
  view.peer = peer_;
  view.admitted_by = admitted_by_;
  view.stream = stream_;
  view.stages = stages_;
  if (relay_ != nullptr) {
    view.bytes_sent = relay_->bytes_to_upstream();
    view.bytes_received = relay_->bytes_to_downstream();
    view.buffered = relay_->buffered_bytes();
  }
  view.age = context_->loop->Now() - stages_.accepted();
  return view;
}

}  // namespace byrnie
