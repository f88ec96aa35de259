#include "proxy/worker.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/net/original_dst.h"
#include "common/net/scratch_pool.h"
#include "common/net/tcp_listener.h"
#include "proxy/asked_addresses.h"
#include "proxy/connection_registry.h"
#include "proxy/direct_mtls.h"
#include "proxy/flow_shard.h"
#include "proxy/handshake_counts.h"
#include "proxy/handshake_turns.h"
#include "proxy/hbone_headers.h"
#include "proxy/hello_room.h"
#include "proxy/outbound.h"
#include "proxy/peer_info.h"
#include "proxy/peer_proof.h"
#include "proxy/redirected.h"
#include "proxy/routing_table.h"
#include "proxy/trust_change.h"
#include "proxy/tunnel_dialer.h"
#include "proxy/tunnel_fault.h"
#include "proxy/worker_context.h"
#include "proxy/workload.h"

namespace byrnie {
namespace {

// Read at once and relayed at once; a whole number of the largest TLS records.
constexpr size_t kScratchSize = 16 * ConnectSession::kDataPerRecord;
// How late a certificate's end may be noticed, and how old the count of an open connection's bytes
// may be. The end is looked at by the wall clock each time, so that a suspended machine or a set
// clock does not delay it further.
constexpr absl::Duration kSweep = absl::Seconds(1);
// Connections that are shown to the admin page in one turn: some tens of microseconds.
constexpr size_t kShownPerTurn = 250;
// How long a drained listener waits for the clients whose connection request has come already.
constexpr absl::Duration kTcpHandshake = absl::Milliseconds(500);

TunnelPool::Metrics PoolMetrics(const ProxyMetrics& metrics) {
  const ProxyMetrics::PerDirection& outbound =
      metrics.direction(AccessRecord::Direction::kOutbound);
  TunnelPool::Metrics result;
  result.created = outbound.tunnels_created;
  result.open = outbound.tunnels_open;
  return result;
}

OutlierDetector::Metrics OutlierMetrics(const ProxyMetrics& metrics) {
  OutlierDetector::Metrics result;
  result.ejections = metrics.ejections;
  result.ejected = metrics.endpoints_ejected;
  return result;
}

ConnectSession::Options SessionOptions(BufferBudget* budget, ScratchPool* scratch) {
  ConnectSession::Options options;
  options.budget = budget;
  options.scratch = scratch;
  return options;
}

TunnelPool::Options PoolOptions(const ProxyConfig& config, ProcessCounts* counts,
                                BufferBudget* budget, ScratchPool* scratch) {
  TunnelPool::Options options;
  options.session = SessionOptions(budget, scratch);
  options.session.request_patience = config.endpoint_patience / 3;
  options.session.silence = config.endpoint_patience;
  options.expiry = config.identity_expiry;
  // After a burst the tunnels that nobody needs hold most of the memory.
  options.idle_timeout = absl::Seconds(30);
  options.max_tunnels = static_cast<size_t>(config.max_tunnels);
  options.count = &counts->outbound_tunnels;
  options.proofs = &counts->proofs;
  return options;
}

// A peer's proxy opens one connection for each of its application's, hundreds at once, and all are
// silent until its next turn: what one source may have of those is half, not an eighth. They cost
// sockets and no more, and never more than a quarter of those there are.
HandshakeCounts::Limits ArrivalLimits(const ProxyConfig& config, const Overload& overload) {
  const size_t total =
      static_cast<size_t>(std::max(2, std::min(config.max_handshakes, overload.sockets() / 4)));
  return {total, total / 2};
}

// As discovery knows the workload of this pod.
WorkloadNames OwnNames(const MeshSnapshot& mesh) {
  WorkloadNames names;
  for (const IpAddress& address : *mesh.own_addresses) {
    const Workload* own = address.IsLoopback() ? nullptr : mesh.routes->FindWorkload(address);
    if (own == nullptr) continue;
    names.cluster = own->placement.cluster;
    names.ns = own->ns;
    names.kind = own->maker_name.empty() ? "pod" : NameOf(own->maker);
    names.name = own->maker_name.empty() ? own->name : own->maker_name;
    names.service = own->canonical_name;
    names.version = own->canonical_revision;
    break;
  }
  return names;
}

}  // namespace

// What lives on the worker's loop. Destroyed from the last member up: connections before the pool
// whose streams they hold.
class Worker::Data {
 public:
  Data(EventLoop* loop, const Dependencies& dependencies, Worker* worker, ResolveHandler resolve)
      : dependencies_(dependencies),
        scratch_(new uint8_t[kScratchSize]),
        dialer_(loop, dependencies.config, dependencies.budget, &scratch_pool_,
                dependencies.overload, dependencies.metrics, &context_.random),
        pool_(
            loop, &dialer_,
            PoolOptions(*dependencies.config, dependencies.counts, dependencies.budget,
                        &scratch_pool_),
            PoolMetrics(*dependencies.metrics),
            [this](const SocketAddress& address, const PeerInfo& peer, const absl::Status& status) {
              ReportOutboundFault(context_, address, peer, status);
            }),
        direct_(loop, &dialer_, &context_.mesh, &dependencies.counts->proofs),
        direct_turns_(
            loop, HandshakeCounts::Shared(static_cast<size_t>(dependencies.config->max_handshakes)),
            &dependencies.counts->direct_handshakes, dependencies.metrics->handshakes_open),
        direct_arrivals_(loop, ArrivalLimits(*dependencies.config, *dependencies.overload),
                         &dependencies.counts->direct_arrivals,
                         dependencies.metrics->handshakes_open),
        hello_room_(dependencies.metrics->unfinished_hello_bytes),
        asked_peers_(loop, AskedAddresses::Options()),
        outliers_(loop, OutlierDetector::Options(), OutlierMetrics(*dependencies.metrics),
                  context_.random),
        flows_(loop, dependencies.flow_bytes,
               [this](std::vector<Flow> changes, uint64_t left_out) {
                 dependencies_.on_flows(std::move(changes), left_out);
               }),
        registry_(loop),
        resolve_(std::move(resolve)),
        sweep_(loop->NewTimer([this] { Sweep(); })) {
    context_.loop = loop;
    context_.config = dependencies.config;
    context_.metrics = dependencies.metrics;
    context_.logger = dependencies.logger;
    context_.recorder = &recorder_;
    context_.tcp_series = dependencies.tcp_series;
    if (dependencies.on_flows != nullptr) context_.flows = &flows_;
    context_.worker = dependencies.index;
    context_.registry = &registry_;
    context_.pool = &pool_;
    context_.direct = &direct_;
    context_.direct_arrivals = &direct_arrivals_;
    context_.direct_turns = &direct_turns_;
    context_.hello_room = &hello_room_;
    context_.asked_peers = &asked_peers_;
    context_.scratch = absl::MakeSpan(scratch_.get(), kScratchSize);
    context_.scratch_pool = &scratch_pool_;
    context_.relay_options.bytes_per_event = kScratchSize;
    context_.relay_options.budget = dependencies.budget;
    context_.relay_options.moved = registry_.moved();
    context_.relay_options.idle_timeout = dependencies.config->idle_timeout;
    context_.relay_options.half_close_timeout = dependencies.config->half_close_timeout;
    context_.overload = dependencies.overload;
    context_.counts = dependencies.counts;
    context_.outliers = &outliers_;
    context_.resolve = [this, worker](uint64_t id, const IpAddress& address, bool refresh) {
      resolve_(worker, id, address, refresh);
    };
    tunnel_server_ = std::make_unique<TunnelServer>(
        &context_, SessionOptions(dependencies.budget, &scratch_pool_));
    sweep_->Schedule(kSweep);
  }

  absl::Status Listen() {
    const ProxyConfig& config = *dependencies_.config;
    ASSIGN_OR_RETURN(outbound_listener_,
                     ListenOn(config.outbound_port, [this](std::unique_ptr<TcpStream> stream) {
                       absl::StatusOr<SocketAddress> destination =
                           GetOriginalDestination(stream->fd());
                       registry_.Add(std::make_unique<OutboundConnection>(
                           &context_, std::move(stream), std::move(destination)));
                     }));
    RETURN_IF_ERROR(ListenInbound());
    ASSIGN_OR_RETURN(hbone_listener_,
                     ListenOn(config.hbone_port, [this](std::unique_ptr<TcpStream> stream) {
                       tunnel_server_->Accept(std::move(stream));
                     }));
    return absl::OkStatus();
  }

  void SetMesh(MeshSnapshotPtr mesh) {
    const MeshSnapshotPtr old = std::exchange(context_.mesh, std::move(mesh));
    const MeshSnapshot& now = *context_.mesh;
    if (now.identity != old->identity) AdoptIdentity(old->identity.get(), *now.identity);
    if (now.routes != old->routes || now.own_addresses != old->own_addresses) {
      context_.baggage = MakeBaggage(OwnNames(now));
    }
    if (now.own_policy_epoch != old->own_policy_epoch) {
      pool_.SetPolicyEpoch(now.own_policy_epoch);
    }
    if (now.policy_version != old->policy_version) registry_.Recheck();
  }

  void Resolved(uint64_t id, Resolver::Outcome outcome) {
    Connection* connection = registry_.Find(id);
    if (connection != nullptr) connection->OnResolved(outcome);
  }

  void CloseIdleTunnels() { tunnel_server_->CloseIdle(); }

  void StopInbound() {
    if (inbound_listener_ == nullptr || close_listeners_ != nullptr) return;
    // Closing a listener resets what waits in its queue, and who is in the middle of TCP's
    // handshake; those clients were promised an answer, or soon believe so.
    for (TcpListener* listener : {inbound_listener_.get(), hbone_listener_.get()}) {
      const absl::Status ignores = listener->IgnoreNewConnections();
      if (ignores.ok()) continue;
      context_.logger->Warning("cannot ignore new connections, resetting the last ones",
                               {{"error", ignores.message()}});
    }
    tunnel_server_->Drain();
    close_listeners_ = context_.loop->NewTimer([this] {
      inbound_listener_->AcceptAll();
      hbone_listener_->AcceptAll();
      inbound_listener_.reset();
      hbone_listener_.reset();
    });
    close_listeners_->Schedule(kTcpHandshake);
  }

  void AbortAll(absl::string_view reason, absl::string_view detail) {
    registry_.AbortAll(reason, detail);
  }

  void GiveUpAll(absl::string_view reason, absl::string_view detail) {
    registry_.GiveUpAll(reason, detail);
  }

  ConnectionCounts Count() const {
    const bool closing = close_listeners_ != nullptr && close_listeners_->scheduled();
    return {registry_.size() + tunnel_server_->handshakes() + (closing ? 1 : 0), registry_.begun()};
  }

  std::vector<uint64_t> Ids() const { return registry_.Ids(); }

  // True when all has been looked at.
  bool Continue(Inspection* inspection) const;

  std::vector<FlightRecorder::Entry> FindEnded(const FlightRecorder::Filter& filter) const {
    return recorder_.Find(filter);
  }

 private:
  absl::Status ListenInbound() {
    const bool tproxy = dependencies_.config->inbound_interception == InboundInterception::kTproxy;
    absl::StatusOr<std::unique_ptr<TcpListener>> listener = ListenOn(
        dependencies_.config->inbound_port,
        [this, tproxy](std::unique_ptr<TcpStream> stream) {
          absl::StatusOr<SocketAddress> destination =
              tproxy ? stream->LocalAddress() : GetOriginalDestination(stream->fd());
          registry_.Add(std::make_unique<RedirectedConnection>(&context_, std::move(stream),
                                                               std::move(destination)));
        },
        tproxy);
    if (tproxy && listener.status().code() == absl::StatusCode::kPermissionDenied) {
      return absl::PermissionDeniedError(absl::StrCat(
          "--inbound_interception=tproxy: ", listener.status().message(),
          "; grant it to the proxy, or use redirect here and for byrnie-redirect's --mode"));
    }
    ASSIGN_OR_RETURN(inbound_listener_, std::move(listener));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<TcpListener>> ListenOn(
      uint16_t port, absl::AnyInvocable<void(std::unique_ptr<TcpStream>)> on_accept,
      bool transparent = false) {
    TcpListener::Options options;
    options.reuse_port = true;
    options.transparent = transparent;
    auto accept = std::make_shared<absl::AnyInvocable<void(std::unique_ptr<TcpStream>)>>(
        std::move(on_accept));
    return ListenOnAllAddresses<std::unique_ptr<TcpListener>>(
        port, [&](const SocketAddress& address) {
          return TcpListener::Create(
              context_.loop, address, options,
              [accept](std::unique_ptr<TcpStream> stream) { (*accept)(std::move(stream)); });
        });
  }

  void AdoptIdentity(const IdentityInUse* old, const IdentityInUse& now) {
    const IdentitySnapshot& identity = *now.identity;
    const bool strict = dependencies_.config->identity_expiry == IdentityExpiry::kStrict;
    // Otherwise each handshake is the only proof that its connections have.
    if (dependencies_.config->identity_expiry == IdentityExpiry::kDrain) {
      context_.counts->proofs.SetOwn(identity.id(), identity.not_after());
    }
    // Before the pool closes their tunnels, so that the peers are told why.
    if (strict) registry_.AbortOtherGenerations(identity.generation());
    TunnelPool::Identity own;
    own.generation = identity.generation();
    own.not_before = identity.leaf().not_before();
    own.not_after = identity.not_after();
    own.id = identity.id();
    own.context = now.client;
    pool_.SetIdentity(std::move(own));
    tunnel_server_->DrainOtherGenerations(identity.generation());
    if (strict) tunnel_server_->CloseOtherGenerations(identity.generation());
    if (old == nullptr) return;
    // Proofs may be waiting for it.
    registry_.LookAgain();
    TrustChange change(old->identity->bundles(), &identity.bundles(), identity.generation(),
                       context_.loop->WallNow());
    if (!change.RemovesAnything()) return;
    registry_.AbortWhere([&change](const PeerInfo& peer) { return change.WhyNot(peer); });
    const auto keep = [&change](const PeerInfo& peer) { return change.WhyNot(peer).empty(); };
    pool_.CloseUnless(keep);
    tunnel_server_->CloseUnless(keep);
  }

  // By one more tunnel to the peer, which other connections may use.
  void RenewProof(const std::shared_ptr<PeerProof>& proof) {
    const auto done = [this, proof](const absl::Status& status) {
      const ProxyMetrics& metrics = *context_.metrics;
      const PeerProof::Renewal result = proof->EndRenewal(status);
      (result == PeerProof::Renewal::kRenewed     ? metrics.proofs_renewed
       : result == PeerProof::Renewal::kUnchanged ? metrics.proofs_unchanged
                                                  : metrics.proofs_failed)
          ->Increment();
    };
    const TunnelTarget peer{proof->address().WithPort(kHbonePort), {proof->id()}};
    const absl::Status begun = pool_.Prove(peer, done);
    if (!begun.ok()) done(begun);
  }

  void Sweep() {
    registry_.CountBytes();
    const absl::Time now = context_.loop->WallNow();
    // Connections first, so that their line in the log says why.
    registry_.AbortExpired(now, dependencies_.config->identity_expiry);
    if (dependencies_.config->max_connection_age != absl::InfiniteDuration()) registry_.AbortAged();
    registry_.RenewProofs(now,
                          [this](const std::shared_ptr<PeerProof>& proof) { RenewProof(proof); });
    pool_.CloseExpired(now);
    tunnel_server_->CloseExpired(now);
    flows_.Flush();
    scratch_pool_.Trim();
    sweep_->Schedule(kSweep);
  }

  const Dependencies dependencies_;
  WorkerContext context_;
  const std::unique_ptr<uint8_t[]> scratch_;
  ScratchPool scratch_pool_;
  TlsTunnelDialer dialer_;
  TunnelPool pool_;
  DirectMtls direct_;
  HandshakeTurns direct_turns_;
  HandshakeTurns direct_arrivals_;
  HelloRoom hello_room_;
  AskedAddresses asked_peers_;
  FlightRecorder recorder_;
  OutlierDetector outliers_;
  FlowShard flows_;
  ConnectionRegistry registry_;
  ResolveHandler resolve_;
  std::unique_ptr<TunnelServer> tunnel_server_;
  std::unique_ptr<TcpListener> outbound_listener_;
  std::unique_ptr<TcpListener> inbound_listener_;
  std::unique_ptr<TcpListener> hbone_listener_;
  // Of StopInbound.
  std::unique_ptr<EventLoop::Timer> close_listeners_;
  std::unique_ptr<EventLoop::Timer> sweep_;
};

// A question of the admin page on its way.
struct Worker::Inspection {
  Connection::Filter filter;
  std::vector<uint64_t> ids;
  size_t next = 0;
  View view;
  absl::AnyInvocable<void(View view)> done;
};

bool Worker::Data::Continue(Inspection* inspection) const {
  View& view = inspection->view;
  const std::vector<uint64_t>& ids = inspection->ids;
  const size_t end = std::min(ids.size(), inspection->next + kShownPerTurn);
  for (; inspection->next < end && view.connections.size() < inspection->filter.limit;
       ++inspection->next) {
    const Connection* connection = registry_.Find(ids[inspection->next]);
    if (connection == nullptr || !inspection->filter.Admits(*connection)) continue;
    view.connections.push_back(connection->MakeView());
  }
  if (end < ids.size() && view.connections.size() < inspection->filter.limit) return false;
  view.connection_count = registry_.size();
  view.outbound_tunnels = pool_.View();
  view.inbound_tunnels = tunnel_server_->View();
  view.failed_endpoints = outliers_.View();
  return true;
}

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(const Dependencies& dependencies,
                                                       ResolveHandler resolve) {
  ASSIGN_OR_RETURN(std::unique_ptr<EpollEventLoop> loop,
                   EpollEventLoop::Create(dependencies.clock));
  std::unique_ptr<Worker> worker(new Worker(std::move(loop)));
  worker->data_ =
      std::make_unique<Data>(worker->loop_.get(), dependencies, worker.get(), std::move(resolve));
  RETURN_IF_ERROR(worker->data_->Listen());
  return worker;
}

Worker::Worker(std::unique_ptr<EpollEventLoop> loop) : loop_(std::move(loop)) {}

Worker::~Worker() {
  if (!thread_.has_value()) return;
  ending_ = true;
  loop_->Stop();
  pthread_join(*thread_, nullptr);
}

void Worker::Start() { CHECK(StartThread()); }

void Worker::RenewThread() {
  // The new one first: where the system has no thread to give, the old one goes on.
  if (StartThread()) loop_->Stop();
}

struct Worker::ThreadStart {
  Worker* worker;
  absl::optional<pthread_t> predecessor;
};

bool Worker::StartThread() {
  auto start = std::make_unique<ThreadStart>(ThreadStart{this, thread_});
  pthread_t thread;
  if (pthread_create(&thread, nullptr, &Worker::RunThread, start.get()) != 0) return false;
  static_cast<void>(start.release());  // The thread's now.
  thread_ = thread;
  return true;
}

void* Worker::RunThread(void* argument) {
  const std::unique_ptr<ThreadStart> start(static_cast<ThreadStart*>(argument));
  Worker* worker = start->worker;
  if (start->predecessor.has_value()) pthread_join(*start->predecessor, nullptr);
  // The predecessor may have been told to stop once for itself and for this one.
  if (!worker->ending_) worker->loop_->Run();
  // What lives on the loop dies on its thread.
  if (worker->ending_) worker->data_.reset();
  return nullptr;
}

void Worker::SetMesh(MeshSnapshotPtr mesh, absl::AnyInvocable<void()> adopted) {
  loop_->Post([this, mesh = std::move(mesh), adopted = std::move(adopted)]() mutable {
    data_->SetMesh(std::move(mesh));
    adopted();
  });
}

void Worker::Resolved(uint64_t connection, Resolver::Outcome outcome) {
  loop_->Post([this, connection, outcome] { data_->Resolved(connection, outcome); });
}

void Worker::StopInbound() {
  loop_->Post([this] { data_->StopInbound(); });
}

void Worker::AbortAll(absl::string_view reason, absl::string_view detail) {
  loop_->Post([this, reason = std::string(reason), detail = std::string(detail)] {
    data_->AbortAll(reason, detail);
  });
}

void Worker::GiveUpAll(absl::string_view reason, absl::string_view detail) {
  loop_->Post([this, reason = std::string(reason), detail = std::string(detail)] {
    data_->GiveUpAll(reason, detail);
  });
}

void Worker::CloseIdleTunnels() {
  loop_->Post([this] { data_->CloseIdleTunnels(); });
}

void Worker::Count(absl::AnyInvocable<void(ConnectionCounts counts)> done) {
  loop_->Post([this, done = std::move(done)]() mutable { done(data_->Count()); });
}

void Worker::ListConnections(absl::AnyInvocable<void(std::vector<uint64_t> ids)> done) {
  loop_->Post([this, done = std::move(done)]() mutable { done(data_->Ids()); });
}

void Worker::Inspect(Connection::Filter filter, std::vector<uint64_t> ids,
                     absl::AnyInvocable<void(View view)> done) {
  auto inspection = std::make_unique<Inspection>();
  inspection->filter = std::move(filter);
  inspection->ids = std::move(ids);
  inspection->done = std::move(done);
  // Here and not by growing, which would move them all on the worker's time.
  inspection->view.connections.reserve(std::min(inspection->ids.size(), inspection->filter.limit));
  Continue(std::move(inspection));
}

void Worker::Continue(std::unique_ptr<Inspection> inspection) {
  loop_->Post([this, inspection = std::move(inspection)]() mutable {
    if (!data_->Continue(inspection.get())) return Continue(std::move(inspection));
    inspection->done(std::move(inspection->view));
  });
}

void Worker::FindEnded(FlightRecorder::Filter filter,
                       absl::AnyInvocable<void(std::vector<FlightRecorder::Entry> found)> done) {
  loop_->Post([this, filter = std::move(filter), done = std::move(done)]() mutable {
    done(data_->FindEnded(filter));
  });
}

}  // namespace byrnie
