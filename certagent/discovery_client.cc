#include "certagent/discovery_client.h"

#include <utility>

#include "common/base/check.h"

namespace byrnie {

DiscoveryClient::DiscoveryClient(EventLoop* loop, Options options, StreamFactory factory,
                                 Observer* observer, Logger* log, MetricRegistry* metrics,
                                 absl::BitGenRef random)
    : loop_(loop),
      options_(std::move(options)),
      factory_(std::move(factory)),
      observer_(observer),
      log_(log),
      cache_(options_.node_id, options_.network, options_.own_addresses),
      backoff_(options_.backoff, random),
      reconnect_(loop->NewTimer([this] { Connect(); })),
      responses_(metrics->AddCounter("byrnie_certagent_discovery_responses_total",
                                     "Discovery responses received.")),
      rejected_(metrics->AddCounter("byrnie_certagent_discovery_rejected_total",
                                    "Discovery responses rejected, wholly or in part.")),
      reconnects_(metrics->AddCounter("byrnie_certagent_discovery_disconnects_total",
                                      "Discovery streams that broke.")) {
  constexpr char kResolves[] = "byrnie_certagent_resolves_total";
  constexpr char kHelp[] = "Questions of the proxy for addresses, by result.";
  resolved_[ResolveResult::kFound] = metrics->AddCounter(kResolves, kHelp, {{"result", "found"}});
  resolved_[ResolveResult::kNotFound] =
      metrics->AddCounter(kResolves, kHelp, {{"result", "not_found"}});
  resolved_[ResolveResult::kUnavailable] =
      metrics->AddCounter(kResolves, kHelp, {{"result", "unavailable"}});
}

DiscoveryClient::~DiscoveryClient() = default;

void DiscoveryClient::Connect() {
  DCHECK(loop_->InLoopThread());
  reconnect_->Cancel();
  stream_.reset();
  DiscoveryStream::Callbacks callbacks;
  callbacks.on_message = [this](DiscoveryCache::Response response) {
    OnResponse(std::move(response));
  };
  callbacks.on_closed = [this](absl::Status why) { OnStreamClosed(std::move(why)); };
  absl::StatusOr<std::unique_ptr<DiscoveryStream>> stream = factory_(std::move(callbacks));
  if (!stream.ok()) return OnStreamClosed(stream.status());
  stream_ = *std::move(stream);
  for (DiscoveryCache::Request& request : cache_.OpenStream()) stream_->Send(std::move(request));
}

void DiscoveryClient::OnStreamClosed(absl::Status why) {
  stream_.reset();
  synced_ = false;
  reconnects_->Increment();
  last_error_ =
      why.ok() ? absl::UnavailableError("the control plane ended the stream") : std::move(why);
  const absl::Duration delay = backoff_.Next();
  reconnect_->Schedule(delay);
  const std::string reason = last_error_.ToString();
  const absl::optional<uint64_t> unsaid = losses_said_.Admit(reason, loop_->Now());
  log_->Log(unsaid.has_value() ? LogLevel::kWarning : LogLevel::kDebug, "discovery stream lost",
            {{"reason", reason},
             {"not_logged", unsaid.value_or(0)},
             {"retry_in", absl::FormatDuration(delay)}});
}

void DiscoveryClient::OnResponse(DiscoveryCache::Response response) {
  responses_->Increment();
  backoff_.Reset();
  if (!synced_) {
    synced_ = true;
    last_error_ = absl::OkStatus();
    losses_said_.Reset();
    log_->Info("discovery connected");
    observer_->OnConnected();
  }
  DiscoveryCache::Outcome outcome = cache_.OnResponse(response);
  if (!outcome.rejected.empty()) {
    rejected_->Increment();
    log_->Warning("discovery response rejected",
                  {{"type", response.type_url()}, {"reason", outcome.rejected}});
  }
  stream_->Send(outcome.reply);
  if (!outcome.upserts.empty() || !outcome.removals.empty()) {
    observer_->OnAddresses(outcome.upserts, outcome.removals);
  }
  if (outcome.policies_changed) {
    ++policy_epoch_;
    observer_->OnPolicies(*Policies());
  }
  AnswerKnown(outcome);
}

absl::optional<PolicySet> DiscoveryClient::Policies() const {
  if (!cache_.policies_known()) return absl::nullopt;
  return PolicySet{policy_epoch_, cache_.Policies()};
}

void DiscoveryClient::Resolve(const IpAddress& address, ResolveCallback done) {
  DCHECK(loop_->InLoopThread());
  switch (cache_.Lookup(address)) {
    case DiscoveryCache::Answer::kFound:
      resolved_[ResolveResult::kFound]->Increment();
      return done(ResolveResult::kFound);
    case DiscoveryCache::Answer::kNotFound:
      resolved_[ResolveResult::kNotFound]->Increment();
      return done(ResolveResult::kNotFound);
    case DiscoveryCache::Answer::kUnknown:
      break;
  }
  Ask(address, &pending_, std::move(done));
}

void DiscoveryClient::Refresh(const IpAddress& address, ResolveCallback done) {
  DCHECK(loop_->InLoopThread());
  Ask(address, &refreshing_, std::move(done));
}

void DiscoveryClient::Ask(const IpAddress& address, Questions* questions, ResolveCallback done) {
  Pending& pending = (*questions)[address];
  pending.done.push_back(std::move(done));
  if (pending.deadline != nullptr) return;
  pending.deadline = loop_->NewTimer(
      [this, address, questions] { Answer(address, ResolveResult::kUnavailable, questions); });
  absl::optional<DiscoveryCache::Request> request = cache_.Subscribe(address);
  // Without room nothing will come; the answer still does, in a later turn.
  pending.deadline->Schedule(request.has_value() ? options_.resolve_timeout : absl::ZeroDuration());
  // Without a stream the subscription goes out with the next one.
  if (request.has_value() && stream_ != nullptr) stream_->Send(*std::move(request));
}

void DiscoveryClient::AnswerKnown(const DiscoveryCache::Outcome& outcome) {
  std::vector<std::pair<IpAddress, ResolveResult>> refreshed;
  for (const auto& entry : refreshing_) {
    if (!outcome.answered.contains(cache_.NameOf(entry.first))) continue;
    refreshed.emplace_back(entry.first, cache_.Lookup(entry.first) == DiscoveryCache::Answer::kFound
                                            ? ResolveResult::kFound
                                            : ResolveResult::kNotFound);
  }
  for (const auto& entry : refreshed) Answer(entry.first, entry.second, &refreshing_);
  std::vector<std::pair<IpAddress, ResolveResult>> known;
  for (const auto& entry : pending_) {
    switch (cache_.Lookup(entry.first)) {
      case DiscoveryCache::Answer::kFound:
        known.emplace_back(entry.first, ResolveResult::kFound);
        break;
      case DiscoveryCache::Answer::kNotFound:
        known.emplace_back(entry.first, ResolveResult::kNotFound);
        break;
      case DiscoveryCache::Answer::kUnknown:
        break;
    }
  }
  for (const auto& entry : known) Answer(entry.first, entry.second, &pending_);
}

void DiscoveryClient::Answer(const IpAddress& address, ResolveResult result, Questions* questions) {
  auto found = questions->find(address);
  if (found == questions->end()) return;
  // Taken out first: an answer may lead to the next question. The timer, whose callback this may
  // be, dies last.
  Pending pending = std::move(found->second);
  questions->erase(found);
  for (ResolveCallback& done : pending.done) {
    resolved_[result]->Increment();
    done(result);
  }
}

}  // namespace byrnie
