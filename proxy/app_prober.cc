#include "proxy/app_prober.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "proxy/probe_run.h"

namespace byrnie {
namespace {

constexpr size_t kMaxUserAgent = 64;
// Between the beginnings of two probes of one kind towards one address. The kubelet's are a second
// apart or more; others who ask could else use up the pod's ports and the application's patience.
constexpr absl::Duration kLeastInterval = absl::Milliseconds(200);

struct Counters {
  Counter *passed, *failed, *given_up;
};

Counters AddCounters(MetricRegistry* metrics) {
  const auto add = [metrics](const char* result) {
    return metrics->AddCounter("byrnie_proxy_app_probes_total",
                               "Health probes of the application made for the kubelet, by result",
                               {{"result", result}});
  };
  return {add("passed"), add("failed"), add("given-up")};
}

bool IsOfVersion(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '+' || c == '-'; }

// Applications know probes by it. What is no kubelet's is not handed on.
std::string UserAgentFor(const HttpRequest& request) {
  absl::string_view version = request.user_agent;
  const bool kubelets = version.size() <= kMaxUserAgent &&
                        absl::ConsumePrefix(&version, "kube-probe/") &&
                        std::all_of(version.begin(), version.end(), IsOfVersion);
  return kubelets ? request.user_agent : "kube-probe/byrnie";
}

HttpResponse AnswerOf(const ProbeOutcome& result) {
  return {result.status, "text/plain; charset=utf-8",
          absl::StrCat("the application's probe ", result.passes ? "passes" : "fails", ": ",
                       result.reason, "\n")};
}

}  // namespace

// One probe of the list.
class AppProber::Target {
 public:
  Target(EventLoop* loop, const ProxyConfig* config, const AppProbe* probe, ProbeDialer* dialer,
         const Counters& counters, Logger* logger)
      : loop_(loop),
        config_(config),
        probe_(probe),
        dialer_(dialer),
        counters_(counters),
        logger_(logger),
        finish_(loop->NewDeferred([this] { Finish(); })) {}

  std::unique_ptr<PendingHttpAnswer> Ask(const HttpRequest& request, HttpRouter::Respond respond) {
    const IpAddress host = request.local.ip();
    std::unique_ptr<UnderWay>& under_way = under_way_[host];
    if (under_way == nullptr) under_way = Begin(host, request);
    const uint64_t id = next_id_++;
    under_way->waiting[id] = std::move(respond);
    return std::make_unique<Waiting>(this, host, id);
  }

  const AppProbe& probe() const { return *probe_; }

 private:
  struct UnderWay {
    absl::Duration began;
    std::map<uint64_t, HttpRouter::Respond> waiting;
    absl::optional<ProbeOutcome> result;
    std::unique_ptr<EventLoop::Timer> start;
    std::unique_ptr<ProbeRun> run;
  };

  class Waiting final : public PendingHttpAnswer {
   public:
    Waiting(Target* target, const IpAddress& host, uint64_t id)
        : target_(target), host_(host), id_(id) {}
    ~Waiting() override { target_->Leave(host_, id_); }

   private:
    Target* const target_;  // Not owned.
    const IpAddress host_;
    const uint64_t id_;
  };

  std::unique_ptr<UnderWay> Begin(const IpAddress& host, const HttpRequest& request) {
    auto under_way = std::make_unique<UnderWay>();
    under_way->began = loop_->Now();
    UnderWay* const here = under_way.get();
    const auto before = started_.find(host);
    const absl::Duration due =
        before == started_.end() ? under_way->began : before->second + kLeastInterval;
    if (due <= under_way->began) {
      Start(here, host, UserAgentFor(request));
      return under_way;
    }
    under_way->start = loop_->NewTimer(
        [this, here, host, agent = UserAgentFor(request)] { Start(here, host, agent); });
    under_way->start->Schedule(due - under_way->began);
    return under_way;
  }

  void Start(UnderWay* here, const IpAddress& host, const std::string& user_agent) {
    started_[host] = loop_->Now();
    here->run = std::make_unique<ProbeRun>(loop_, dialer_, config_, probe_, host, user_agent,
                                           [this, here](ProbeOutcome result) {
                                             here->result = std::move(result);
                                             finish_->Schedule();
                                           });
  }

  // At the end of the turn: no probe dies in its own call.
  void Finish() {
    std::vector<std::unique_ptr<UnderWay>> done;
    for (auto it = under_way_.begin(); it != under_way_.end();) {
      const auto here = it++;
      if (!here->second->result.has_value()) continue;
      done.push_back(std::move(here->second));
      under_way_.erase(here);
    }
    for (const std::unique_ptr<UnderWay>& each : done) {
      (each->result->passes ? counters_.passed : counters_.failed)->Increment();
      Note(*each->result);
      for (auto& [id, respond] : each->waiting) respond(AnswerOf(*each->result));
    }
  }

  void Leave(const IpAddress& host, uint64_t id) {
    const auto found = under_way_.find(host);
    if (found == under_way_.end() || found->second->waiting.erase(id) == 0) return;
    if (!found->second->waiting.empty()) return;
    // The kubelet's patience ends when ours does, give or take what lies between us.
    const absl::Duration waited = loop_->Now() - found->second->began;
    counters_.given_up->Increment();
    if (waited >= probe_->timeout * 9 / 10) {
      Note({false, 504, absl::StrCat("no answer within ", absl::FormatDuration(waited))});
    }
    under_way_.erase(found);
  }

  // The kubelet's events tell of a status alone.
  void Note(const ProbeOutcome& result) {
    if (passes_.value_or(true) == result.passes) {
      passes_ = result.passes;
      return;
    }
    passes_ = result.passes;
    logger_->Info(result.passes ? "a probe of the application passes again"
                                : "a probe of the application fails",
                  {{"probe", probe_->Name()}, {"reason", result.reason}});
  }

  EventLoop* const loop_;            // Not owned.
  const ProxyConfig* const config_;  // Not owned.
  const AppProbe* const probe_;      // Not owned.
  ProbeDialer* const dialer_;        // Not owned.
  const Counters counters_;
  Logger* const logger_;  // Not owned.
  const std::unique_ptr<EventLoop::Deferred> finish_;
  uint64_t next_id_ = 1;
  absl::optional<bool> passes_;
  // By address of the pod, of which there are few.
  absl::flat_hash_map<IpAddress, absl::Duration> started_;
  absl::flat_hash_map<IpAddress, std::unique_ptr<UnderWay>> under_way_;
};

AppProber::AppProber(EventLoop* loop, const ProxyConfig* config, ProbeDialer* dialer,
                     MetricRegistry* metrics, Logger* logger) {
  const Counters counters = AddCounters(metrics);
  for (const AppProbe& probe : config->app_probes) {
    targets_.push_back(std::make_unique<Target>(loop, config, &probe, dialer, counters, logger));
  }
}

AppProber::~AppProber() = default;

std::vector<HttpRouter::Route> AppProber::Routes() {
  std::vector<HttpRouter::Route> routes;
  for (const std::unique_ptr<Target>& target : targets_) {
    routes.push_back(
        {"GET", target->probe().Path(), nullptr,
         [here = target.get()](const HttpRequest& request, HttpRouter::Respond respond) {
           return here->Ask(request, std::move(respond));
         }});
  }
  return routes;
}

}  // namespace byrnie
