#include "proxy/admin.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "proxy/admin_pages.h"
#include "proxy/admin_query.h"
#include "proxy/home_page.h"
#include "proxy/recorder_page.h"

namespace byrnie {
namespace {

// How long the end waits for clients to take their answers.
constexpr absl::Duration kDrainTimeout = absl::Seconds(1);
// How fine "the last minutes" of the home page are.
constexpr absl::Duration kSampleInterval = absl::Seconds(30);
// What the home page looks back on.
constexpr absl::Duration kRecently = absl::Minutes(5);

// Of few descriptors the three servers leave some for the rest of the process.
size_t HttpConnections() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return HttpServer::kMaxConnections;
  return std::min<size_t>(HttpServer::kMaxConnections, std::max<size_t>(4, limit.rlim_cur / 16));
}

HttpResponse Json(std::string body) { return {200, "application/json", std::move(body)}; }
HttpResponse BadQuery(const absl::Status& why) {
  return {400, "text/plain; charset=utf-8", absl::StrCat(why.message(), "\n")};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Admin>> Admin::Create(const Clock* clock, const ProxyConfig* config,
                                                     MetricRegistry* metrics, Logger* logger,
                                                     Host* host) {
  ASSIGN_OR_RETURN(std::unique_ptr<EpollEventLoop> loop, EpollEventLoop::Create(clock));
  std::unique_ptr<Admin> admin(new Admin(std::move(loop), config, metrics, logger, host));
  RETURN_IF_ERROR(admin->Listen());
  return admin;
}

Admin::Admin(std::unique_ptr<EpollEventLoop> loop, const ProxyConfig* config,
             MetricRegistry* metrics, Logger* logger, Host* host)
    : loop_(std::move(loop)),
      config_(config),
      metrics_(metrics),
      logger_(logger),
      host_(host),
      guard_(&owners_, geteuid()),
      redirect_in_place_(metrics->AddGauge(
          "byrnie_proxy_redirect_in_place",
          "1 while the redirect's rules are in place, 0 while they are not; -1: nobody looks, "
          "without --redirect_check_port")),
      started_(loop_->Now()),
      probe_dialer_(loop_.get()),
      prober_(std::make_unique<AppProber>(loop_.get(), config, &probe_dialer_, metrics, logger)) {}

Admin::~Admin() {
  if (!thread_.joinable()) return;
  loop_->Post([this] { Drain(); });
  thread_.join();
}

void Admin::Start() {
  thread_ = std::thread([this] {
    sample_timer_ = loop_->NewTimer([this] { SampleRefusals(); });
    SampleRefusals();
    if (redirect_port_) {
      redirect_check_ = std::make_unique<RedirectCheck>(
          loop_.get(), config_->redirect_check_port, &probe_dialer_, redirect_in_place_, logger_);
    }
    loop_->Run();
    // What lives on the loop dies on its thread.
    admin_server_.reset();
    stats_server_.reset();
    status_server_.reset();
    prober_.reset();
    redirect_check_.reset();
    sample_timer_.reset();
    drain_timer_.reset();
  });
}

void Admin::SetState(State state) {
  loop_->Post([this, state = std::move(state)]() mutable { state_ = std::move(state); });
}

void Admin::Drain() {
  drain_timer_ = loop_->NewTimer([this] { loop_->Stop(); });
  drain_timer_->Schedule(kDrainTimeout);
  for (HttpServer* server : {admin_server_.get(), stats_server_.get(), status_server_.get()}) {
    ++undrained_;
    server->Drain([this] {
      if (--undrained_ == 0) loop_->Stop();
    });
  }
}

std::vector<std::string> Admin::NotStarted() const {
  std::vector<std::string> missing = Missing(*state_.mesh, loop_->WallNow());
  if (state_.draining) missing.insert(missing.begin(), "draining");
  return missing;
}

std::vector<std::string> Admin::NotReady() const {
  std::vector<std::string> missing = NotStarted();
  if (redirect_check_ != nullptr) {
    absl::optional<std::string> why = redirect_check_->WhyNotReady();
    if (why.has_value()) missing.push_back(*std::move(why));
  }
  return missing;
}

absl::Status Admin::Listen() {
  redirect_in_place_->Set(-1);
  if (config_->redirect_check_port != 0) {
    ASSIGN_OR_RETURN(redirect_port_, TakePort(config_->redirect_check_port));
    redirect_in_place_->Set(0);
  }
  const auto options = [this](const char* server) {
    HttpServer::Options result;
    result.max_connections = HttpConnections();
    result.evicted = metrics_->AddCounter(
        "byrnie_proxy_http_connections_evicted_total",
        "Connections of HTTP clients closed to make room for newer ones, by server",
        {{"server", server}});
    return result;
  };
  HttpServer::Options loopback = options("admin");
  loopback.require_loopback_host = true;
  loopback.guard = &guard_;
  ASSIGN_OR_RETURN(admin_server_,
                   HttpServer::Create(loop_.get(), config_->admin, loopback, AdminRoutes()));
  ASSIGN_OR_RETURN(
      stats_server_,
      ListenOnAllAddresses<std::unique_ptr<HttpServer>>(
          config_->stats_port, [&](const SocketAddress& address) {
            std::vector<HttpServer::Route> routes;
            routes.push_back({"GET", "/metrics", [this](const HttpRequest&) { return Metrics(); }});
            routes.push_back({"GET", "/healthz/ready",
                              [this](const HttpRequest&) { return WrongPortForReadiness(); }});
            return HttpServer::Create(loop_.get(), address, options("metrics"), std::move(routes));
          }));
  ASSIGN_OR_RETURN(status_server_,
                   ListenOnAllAddresses<std::unique_ptr<HttpServer>>(
                       config_->status_port, [&](const SocketAddress& address) {
                         std::vector<HttpServer::Route> routes = prober_->Routes();
                         routes.push_back({"GET", "/healthz/ready", [this](const HttpRequest&) {
                                             return Readiness(NotReady());
                                           }});
                         // For who makes the rules once the proxy is there.
                         routes.push_back({"GET", "/healthz/started", [this](const HttpRequest&) {
                                             return Readiness(NotStarted());
                                           }});
                         return HttpServer::Create(loop_.get(), address, options("readiness"),
                                                   std::move(routes));
                       }));
  return absl::OkStatus();
}

std::vector<HttpServer::Route> Admin::AdminRoutes() {
  std::vector<HttpServer::Route> routes;
  routes.push_back({"GET", "/", [this](const HttpRequest&) { return Home(); }});
  routes.push_back({"GET", "/certs", [this](const HttpRequest&) {
                      return Json(RenderCerts(*state_.mesh, loop_->WallNow()));
                    }});
  routes.push_back({"GET", "/config_dump", [this](const HttpRequest&) {
                      return Json(RenderConfigDump(*state_.mesh, *config_));
                    }});
  routes.push_back(
      {"GET", "/connections", [this](const HttpRequest& request) { return Connections(request); }});
  routes.push_back(
      {"GET", "/recorder", [this](const HttpRequest& request) { return Recorder(request); }});
  routes.push_back({"GET", "/metrics", [this](const HttpRequest&) { return Metrics(); }});
  routes.push_back(
      {"POST", "/logging", [this](const HttpRequest& request) { return SetLogLevel(request); }});
  routes.push_back({"POST", "/drain", [this](const HttpRequest&) {
                      host_->BeginDrain();
                      return HttpResponse{200, "text/plain; charset=utf-8", "draining\n"};
                    }});
  routes.push_back({"POST", "/quitquitquit", [this](const HttpRequest&) {
                      // The process ends only after this is answered, see ~Admin.
                      host_->Quit();
                      return HttpResponse{200, "text/plain; charset=utf-8", "ending\n"};
                    }});
  return routes;
}

HttpResponse Admin::Home() {
  HomeFacts facts;
  facts.mesh = state_.mesh;
  facts.link_up = state_.link_up;
  const std::vector<std::string> missing = NotReady();
  facts.readiness = missing.empty() ? "ready" : absl::StrJoin(missing, "; ");
  bool complete = false;
  Connection::Filter none;
  none.limit = 0;
  for (const Worker::View& worker : host_->InspectWorkers(none, &complete)) {
    facts.connections += worker.connection_count;
  }
  facts.ended = host_->FindEnded({}, &complete);
  facts.refusals = refusals_.Since(loop_->Now() - kRecently, host_->Refusals());
  facts.refusals_cover = std::min(kRecently, loop_->Now() - started_);
  facts.uptime = loop_->Now() - started_;
  facts.now = loop_->WallNow();
  return {200, "text/html; charset=utf-8", RenderHome(facts, *config_)};
}

HttpResponse Admin::Connections(const HttpRequest& request) {
  const absl::StatusOr<Connection::Filter> filter = ParseConnectionQuery(request);
  if (!filter.ok()) return BadQuery(filter.status());
  bool complete = false;
  const std::vector<Worker::View> workers = host_->InspectWorkers(*filter, &complete);
  return Json(RenderConnections(workers, complete, filter->limit));
}

HttpResponse Admin::Recorder(const HttpRequest& request) {
  const absl::StatusOr<FlightRecorder::Filter> filter = ParseRecorderQuery(request);
  if (!filter.ok()) return BadQuery(filter.status());
  bool complete = false;
  const std::vector<FlightRecorder::Entry> found = host_->FindEnded(*filter, &complete);
  return Json(RenderRecorder(found, complete));
}

void Admin::SampleRefusals() {
  refusals_.Sample(loop_->Now(), host_->Refusals());
  sample_timer_->Schedule(kSampleInterval);
}

HttpResponse Admin::Metrics() const {
  return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_->RenderPrometheusText()};
}

HttpResponse Admin::WrongPortForReadiness() const {
  return {503, "text/plain; charset=utf-8",
          absl::StrCat("readiness is on port ", config_->status_port,
                       "; who asked there was led here because byrnie-redirect has failed closed: "
                       "\"byrnie-redirect check\" shows what somebody changed, "
                       "\"byrnie-redirect apply\" opens the pod again\n")};
}

HttpResponse Admin::Readiness(const std::vector<std::string>& missing) {
  if (missing.empty()) return {200, "text/plain; charset=utf-8", "ready\n"};
  return {503, "text/plain; charset=utf-8", absl::StrCat(absl::StrJoin(missing, "\n"), "\n")};
}

HttpResponse Admin::SetLogLevel(const HttpRequest& request) {
  const absl::StatusOr<LogLevel> level = ParseLogLevel(request.QueryValue("level"));
  if (!level.ok()) {
    return {400, "text/plain; charset=utf-8", absl::StrCat(level.status().message(), "\n")};
  }
  logger_->set_level(*level);
  return {200, "text/plain; charset=utf-8", absl::StrCat(LogLevelName(*level), "\n")};
}

}  // namespace byrnie
