#include "proxy/proxy.h"

#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/monotonic_cond_var.h"
#include "common/base/status_macros.h"
#include "common/base/system_file.h"
#include "proxy/access_record.h"
#include "proxy/agent_dialer.h"
#include "proxy/default_gateways.h"
#include "proxy/local_addresses.h"

namespace byrnie {
namespace {

// What buffers together may have beyond the least of each, unless told.
constexpr uint64_t kMaxBufferBudget = 64 * 1024 * 1024;
constexpr uint64_t kMinBufferBudget = 1024 * 1024;
constexpr uint64_t kBufferShare = 4;
// Buffers grow only up to this share of the memory limit, everything included: where they end is
// well below where new connections are shed, so that bulk alone sheds none.
constexpr double kGrowBelow = 0.65;
// How often memory is measured where there is a limit: a few microseconds each time.
constexpr absl::Duration kMeasureInterval = absl::Milliseconds(50);
// At every so many of these it is looked whether the limit is still what it was.
constexpr int kLimitEvery = 20;
// While it is short, the heap is trimmed at every so many of these: a few milliseconds each time.
constexpr int kTrimEvery = 10;
// Descriptors left for the admin page, the link and the listeners when connections have taken all
// others, and half of them for handshakes that open connections live by.
constexpr int kReservedSockets = 32;
// How long an admin page waits for busy workers. They never wait for it.
constexpr absl::Duration kInspectTimeout = absl::Milliseconds(500);
// How often it is looked whether a burst is over, and how much less there must be then: in
// connections, of which a tunnel is worth many, and so many bytes as much as one.
constexpr absl::Duration kMemoryInterval = absl::Seconds(5);
constexpr int64_t kBurst = 200;
constexpr int64_t kTunnelWeight = 32;
constexpr int64_t kBytesWeight = 32 * 1024;
// For edges of connections between two sweeps, beside the reporter's table: 256 KiB in all.
constexpr size_t kFlowBytesOfWorkers = 64 * 1024;
// How late a change of the pod's default routes may be noticed.
constexpr absl::Duration kRouteInterval = absl::Seconds(10);

void SetSocketLimits(Overload::Limits* limits) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > (1u << 30)) return;
  // Of few descriptors, half are for connections.
  const int all = static_cast<int>(limit.rlim_cur);
  limits->sockets = std::max(all / 2, all - kReservedSockets);
  limits->sockets_for_proofs = limits->sockets + (all - limits->sockets) / 2;
}

absl::optional<ContainerMemory> MemoryInForce(const ProxyConfig& config) {
  if (config.memory_limit != 0) return ContainerMemory::OfProcess(config.memory_limit);
  return ContainerMemory::Find(ReadSystemFile);
}

uint64_t BufferBudgetInForce(const ProxyConfig& config,
                             const absl::optional<ContainerMemory>& memory) {
  if (config.max_buffered_bytes != 0) return config.max_buffered_bytes;
  if (!memory.has_value()) return kMaxBufferBudget;
  return std::min(std::max(memory->limit() / kBufferShare, kMinBufferBudget), kMaxBufferBudget);
}

Overload::Limits OverloadLimits(const ProxyConfig& config,
                                const absl::optional<ContainerMemory>& memory) {
  Overload::Limits limits;
  limits.connections = config.max_connections;
  SetSocketLimits(&limits);
  limits.memory = memory.has_value() ? memory->limit() : 0;
  return limits;
}

// Answers of several threads, for one that waits.
template <typename T>
struct Gathered {
  absl::Mutex mutex;
  MonotonicCondVar changed;
  std::vector<T> answers ABSL_GUARDED_BY(mutex);
  size_t missing ABSL_GUARDED_BY(mutex) = 0;
  bool Complete() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return missing == 0; }
};

// What each worker answers to `ask`, which gets its place and a callback that may run on the
// worker's thread. Waits for those that are busy a bounded time; of one that did not answer there
// is an empty T.
template <typename T, typename Ask>
std::vector<T> Gather(const std::vector<std::unique_ptr<Worker>>& workers, Ask ask,
                      bool* complete) {
  auto gathered = std::make_shared<Gathered<T>>();
  {
    absl::MutexLock lock(&gathered->mutex);
    gathered->answers.resize(workers.size());
    gathered->missing = workers.size();
  }
  // Not under the lock: a worker never waits for more than another one's answer being stored.
  for (size_t i = 0; i < workers.size(); ++i) {
    ask(i, [gathered, i](T answer) {
      absl::MutexLock lock(&gathered->mutex);
      if (gathered->answers.empty()) return;  // Too late.
      gathered->answers[i] = std::move(answer);
      if (--gathered->missing == 0) gathered->changed.NotifyAll();
    });
  }
  absl::MutexLock lock(&gathered->mutex);
  *complete = gathered->changed.AwaitWithTimeout(
      &gathered->mutex, kInspectTimeout,
      [&gathered]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return gathered->Complete(); });
  return std::exchange(gathered->answers, {});
}

// Names this process to whoever keeps what it has seen.
uint64_t NewInstance(absl::BitGenRef random) {
  return absl::Uniform<uint64_t>(absl::IntervalClosed, random, 1,
                                 std::numeric_limits<uint64_t>::max());
}

// Counts of all workers on their way to the control loop; used there only.
struct Tally {
  size_t missing = 0;
  ConnectionCounts counts;
  absl::AnyInvocable<void(ConnectionCounts counts)> done;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Proxy>> Proxy::Create(ProxyConfig config, Logger* logger,
                                                     const Clock* clock) {
  RETURN_IF_ERROR(CheckAgentSocketPath(config.link_socket));
  ASSIGN_OR_RETURN(std::unique_ptr<EpollEventLoop> loop, EpollEventLoop::Create(clock));
  std::unique_ptr<Proxy> proxy(new Proxy(std::move(config), logger, clock, std::move(loop)));
  RETURN_IF_ERROR(proxy->Init(clock));
  return proxy;
}

Proxy::Proxy(ProxyConfig config, Logger* logger, const Clock*, std::unique_ptr<EpollEventLoop> loop)
    : config_(std::move(config)),
      logger_(logger),
      metrics_(&registry_),
      tcp_metrics_(&registry_, static_cast<size_t>(config_.metrics_series),
                   static_cast<size_t>(config_.workers)),
      memory_(MemoryInForce(config_)),
      budget_(BufferBudgetInForce(config_, memory_), metrics_.buffered_bytes),
      overload_(OverloadLimits(config_, memory_),
                metrics_.direction(AccessRecord::Direction::kInbound).open,
                metrics_.direction(AccessRecord::Direction::kOutbound).open, metrics_.shedding),
      loop_(std::move(loop)),
      signer_(loop_.get(), metrics_.sign_seconds, metrics_.sign_ok, metrics_.sign_failed),
      mesh_(loop_.get(), &signer_, LocalAddresses, &metrics_, logger,
            [this](MeshSnapshotPtr mesh) { Publish(mesh); }),
      resolver_(
          loop_.get(),
          [this] {
            Resolver::Options options;
            options.timeout = config_.resolve_timeout;
            return options;
          }(),
          [this](uint64_t id, const IpAddress& address, bool refresh) {
            return agent_->SendResolve(id, address, refresh);
          }),
      drain_(loop_.get(), this, {config_.drain_timeout, config_.drain_hold, config_.drain_quiet},
             logger),
      agent_(std::make_unique<AgentClient>(
          loop_.get(),
          [loop = loop_.get(), path = config_.link_socket] { return DialAgent(loop, path); },
          AgentClient::Options(), this, logger)),
      flows_(loop_.get(), FlowReporter::Options(), NewInstance(random_),
             {metrics_.flow_edges, metrics_.flow_edges_left_out}, random_,
             [this](const link::v1::FlowReport& report) { return agent_->SendFlows(report); }) {}

Proxy::~Proxy() {
  // Admin first: it asks the workers. Then these: they ask the signer, which asks the agent.
  admin_.reset();
  workers_.clear();
  signer_.set_agent(nullptr);
}

absl::Status Proxy::Init(const Clock* clock) {
  RETURN_IF_ERROR(WatchSignals());
  registry_.AddCallbackCounter(
      "byrnie_proxy_log_lines_dropped_total",
      "Lines of the log, access log included, dropped because nobody read them in time",
      [this] { return static_cast<double>(logger_->dropped_lines()); });
  registry_.AddCallbackGauge(
      "byrnie_proxy_cert_outage_budget_seconds",
      "Seconds until the own certificate chain ends, negative when it has; 0: no identity yet",
      [this, clock] {
        const int64_t end = metrics_.certificate_expiry->value();
        if (end == 0) return 0.0;
        return absl::ToDoubleSeconds(absl::FromUnixSeconds(end) - clock->WallNow());
      });
  // Before the workers: their ports may be shared, these tell a second proxy from a second worker.
  ASSIGN_OR_RETURN(admin_, Admin::Create(clock, &config_, &registry_, logger_, this));
  Worker::Dependencies dependencies;
  dependencies.config = &config_;
  dependencies.metrics = &metrics_;
  dependencies.logger = logger_;
  dependencies.clock = clock;
  dependencies.budget = &budget_;
  dependencies.overload = &overload_;
  dependencies.counts = &counts_;
  dependencies.on_flows = [this](std::vector<Flow> changes, uint64_t left_out) {
    loop_->Post([this, changes = std::move(changes), left_out]() mutable {
      flows_.Merge(std::move(changes), left_out);
    });
  };
  dependencies.flow_bytes = kFlowBytesOfWorkers / static_cast<size_t>(config_.workers);
  for (int i = 0; i < config_.workers; ++i) {
    dependencies.index = i;
    dependencies.tcp_series = tcp_metrics_.shard(static_cast<size_t>(i));
    ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker,
                     Worker::Create(dependencies, [this](Worker* worker, uint64_t connection,
                                                         const IpAddress& address, bool refresh) {
                       OnResolveQuestion(worker, connection, address, refresh);
                     }));
    workers_.push_back(std::move(worker));
  }
  signer_.set_agent(agent_.get());
  return absl::OkStatus();
}

absl::Status Proxy::WatchSignals() {
  ServerSignals::Handlers handlers;
  handlers.on_end = [this] {
    // Who asks twice does not want to wait.
    if (drain_.draining()) {
      drain_.Quit();
    } else {
      drain_.Begin();
    }
  };
  handlers.on_hangup = [this] {
    logger_->Warning("SIGHUP changes nothing: flags are read at the start; SIGTERM drains");
  };
  ASSIGN_OR_RETURN(signals_, ServerSignals::Create(loop_.get(), std::move(handlers)));
  return absl::OkStatus();
}

void Proxy::Run() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Start();
  admin_->Start();
  logger_->Info("serving", {{"outbound_port", static_cast<int>(config_.outbound_port)},
                            {"inbound_port", static_cast<int>(config_.inbound_port)},
                            {"hbone_port", static_cast<int>(config_.hbone_port)},
                            {"admin", config_.admin.ToString()},
                            {"workers", config_.workers}});
  agent_->Start();
  memory_timer_ = loop_->NewTimer([this] { ReturnMemory(); });
  memory_timer_->Schedule(kMemoryInterval);
  route_timer_ = loop_->NewTimer([this] { ReadGateways(); });
  ReadGateways();
  if (memory_.has_value()) {
    metrics_.memory_limit->Set(static_cast<int64_t>(memory_->limit()));
    measure_timer_ = loop_->NewTimer([this] { MeasureMemory(); });
    MeasureMemory();
  }
  loop_->Run();
}

void Proxy::ReadGateways() {
  // Only asked for where probes are let in by them.
  const InboundModes& modes = config_.inbound;
  if (modes.probe_ports.empty() || !modes.UsesGateways()) return;
  absl::StatusOr<absl::flat_hash_set<IpAddress>> gateways = DefaultGateways();
  if (gateways.ok()) {
    mesh_.ApplyGateways(*std::move(gateways));
  } else {
    logger_->Warning("keeping the known default gateways",
                     {{"error", gateways.status().message()}});
  }
  route_timer_->Schedule(kRouteInterval);
}

void Proxy::LookAtMemoryLimit() {
  if (config_.memory_limit != 0) return;
  // One that is gone or cannot be read at present: the last that was known stays.
  absl::optional<ContainerMemory> found = ContainerMemory::Find(ReadSystemFile);
  if (!found.has_value() || found->limit() == memory_->limit()) return;
  logger_->Info("the memory limit has changed",
                {{"before", memory_->limit()}, {"now", found->limit()}});
  memory_ = std::move(found);
  metrics_.memory_limit->Set(static_cast<int64_t>(memory_->limit()));
  overload_.SetMemoryLimit(memory_->limit());
}

void Proxy::MeasureMemory() {
  measure_timer_->Schedule(kMeasureInterval);
  if (++measured_ % kLimitEvery == 0) LookAtMemoryLimit();
  const absl::optional<uint64_t> used = memory_->Used(ReadSystemFile);
  if (!used.has_value()) return;
  metrics_.memory_used->Set(static_cast<int64_t>(*used));
  budget_.SetMemoryLeft(static_cast<int64_t>(static_cast<double>(memory_->limit()) * kGrowBelow) -
                        static_cast<int64_t>(*used));
  if (overload_.SetMemoryUsed(*used, budget_.Unfilled())) {
    logger_->Warning(
        "memory is short, refusing new connections and closing idle tunnels",
        {{"used", *used}, {"promised", budget_.Unfilled()}, {"limit", memory_->limit()}});
    measured_short_ = 0;
  }
  // What buffers gave back counts only once the kernel has it, so that connections are not refused
  // for longer than they must be.
  if (!overload_.short_of_memory() || measured_short_++ % kTrimEvery != 0) return;
  // Peers may hold thousands that no policy lets them use.
  for (const std::unique_ptr<Worker>& worker : workers_) worker->CloseIdleTunnels();
  malloc_trim(0);
}

void Proxy::ReturnMemory() {
  memory_timer_->Schedule(kMemoryInterval);
  // Its bytes are given back as late as what a connection has.
  int64_t load = metrics_.buffered_bytes->value() / kBytesWeight;
  for (const auto direction :
       {AccessRecord::Direction::kInbound, AccessRecord::Direction::kOutbound}) {
    const ProxyMetrics::PerDirection& metrics = metrics_.direction(direction);
    load += metrics.open->value() + kTunnelWeight * metrics.tunnels_open->value();
  }
  peak_load_ = std::max(peak_load_, load);
  if (std::exchange(trim_again_, false)) malloc_trim(0);
  if (peak_load_ - load < kBurst) return;
  // glibc keeps what lies below the top of its heap, and connections and tunnels end in no order
  // and not all at once. What each thread keeps for itself follows when it has ended.
  malloc_trim(0);
  for (const std::unique_ptr<Worker>& worker : workers_) worker->RenewThread();
  trim_again_ = true;
  peak_load_ = load;
}

void Proxy::OnResolveQuestion(Worker* worker, uint64_t connection, const IpAddress& address,
                              bool refresh) {
  loop_->Post([this, worker, connection, address, refresh] {
    auto done = [this, worker, connection](Resolver::Outcome outcome) {
      switch (outcome) {
        case Resolver::Outcome::kFound:
          metrics_.resolve_found->Increment();
          break;
        case Resolver::Outcome::kNotInMesh:
          metrics_.resolve_not_in_mesh->Increment();
          break;
        case Resolver::Outcome::kUnavailable:
        case Resolver::Outcome::kTimedOut:
        case Resolver::Outcome::kOverloaded:
          metrics_.resolve_failed->Increment();
          break;
      }
      // Behind the snapshot that knows the address, if there is one.
      worker->Resolved(connection, outcome);
    };
    if (refresh) {
      resolver_.Refresh(address, std::move(done));
    } else {
      resolver_.Resolve(address, std::move(done));
    }
  });
}

void Proxy::Publish(const MeshSnapshotPtr& mesh) {
  // Shown when every worker has it: who finds the proxy ready finds it serving, whichever worker
  // takes the connection.
  auto missing = std::make_shared<size_t>(workers_.size());
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->SetMesh(mesh, [this, mesh, missing] {
      loop_->Post([this, mesh, missing] {
        if (--*missing > 0) return;
        shown_.mesh = mesh;
        TellAdmin();
      });
    });
  }
}

void Proxy::TellAdmin() { admin_->SetState(shown_); }

absl::Status Proxy::OnIdentityUpdate(const link::v1::IdentityUpdate& update) {
  return mesh_.ApplyIdentity(update);
}

absl::Status Proxy::OnPolicyUpdate(const link::v1::PolicyUpdate& update) {
  return mesh_.ApplyPolicies(update);
}

absl::Status Proxy::OnAddressUpdate(const link::v1::AddressUpdate& update) {
  resolver_.ForgetNegatives();
  return mesh_.ApplyAddresses(update);
}

void Proxy::OnResolveResponse(uint64_t id, link::v1::ResolveResponse::Result result) {
  switch (result) {
    case link::v1::ResolveResponse::RESULT_FOUND:
      return resolver_.OnAnswer(id, Resolver::Outcome::kFound);
    case link::v1::ResolveResponse::RESULT_NOT_FOUND:
      return resolver_.OnAnswer(id, Resolver::Outcome::kNotInMesh);
    default:
      return resolver_.OnAnswer(id, Resolver::Outcome::kUnavailable);
  }
}

void Proxy::OnLinkUp() {
  metrics_.link_up->Set(1);
  shown_.link_up = true;
  TellAdmin();
  resolver_.OnLinkUp();
  flows_.OnLinkUp();
}

void Proxy::OnLinkDown(const absl::Status&) {
  metrics_.link_up->Set(0);
  shown_.link_up = false;
  TellAdmin();
  flows_.OnLinkDown();
}

std::vector<Worker::View> Proxy::InspectWorkers(const Connection::Filter& filter, bool* complete) {
  // Put in order here and not on a worker's time.
  std::vector<std::vector<uint64_t>> ids(workers_.size());
  bool listed = true;
  if (filter.limit > 0) {
    ids = Gather<std::vector<uint64_t>>(
        workers_,
        [this](size_t i, absl::AnyInvocable<void(std::vector<uint64_t>)> done) {
          workers_[i]->ListConnections(std::move(done));
        },
        &listed);
    for (std::vector<uint64_t>& of_worker : ids) absl::c_sort(of_worker);
  }
  std::vector<Worker::View> views = Gather<Worker::View>(
      workers_,
      [this, &filter, &ids](size_t i, absl::AnyInvocable<void(Worker::View)> done) {
        workers_[i]->Inspect(filter, std::move(ids[i]), std::move(done));
      },
      complete);
  *complete = *complete && listed;
  return views;
}

std::vector<FlightRecorder::Entry> Proxy::FindEnded(const FlightRecorder::Filter& filter,
                                                    bool* complete) {
  return MergeNewest(
      Gather<std::vector<FlightRecorder::Entry>>(
          workers_,
          [this, &filter](size_t i,
                          absl::AnyInvocable<void(std::vector<FlightRecorder::Entry>)> done) {
            workers_[i]->FindEnded(filter, std::move(done));
          },
          complete),
      filter.limit);
}

void Proxy::StopReadiness() {
  shown_.draining = true;
  TellAdmin();
}

void Proxy::StopInbound() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->StopInbound();
}

void Proxy::CountConnections(absl::AnyInvocable<void(ConnectionCounts counts)> done) {
  auto tally = std::make_shared<Tally>();
  tally->missing = workers_.size();
  tally->done = std::move(done);
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->Count([this, tally](ConnectionCounts counts) {
      loop_->Post([tally, counts] {
        tally->counts.open += counts.open;
        tally->counts.begun += counts.begun;
        if (--tally->missing == 0) tally->done(tally->counts);
      });
    });
  }
}

void Proxy::AbortConnections(absl::string_view why) {
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->AbortAll(access_reason::kDrained, why);
  }
}

void Proxy::GiveUpConnections(absl::string_view why) {
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->GiveUpAll(access_reason::kDrained, why);
  }
}

}  // namespace byrnie
