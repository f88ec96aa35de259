#include "certagent/admin.h"

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/identity_pages.h"
#include "common/base/check.h"
#include "common/base/secret_memory.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/base/version.h"

namespace byrnie {
namespace {

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Row(absl::string_view name, absl::string_view value) {
  return absl::StrCat("<tr><th>", name, "</th><td>", Escape(value), "</td></tr>\n");
}

HttpResponse Text(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

HttpResponse Json(std::string body) {
  HttpResponse response = Text(200, std::move(body));
  response.content_type = "application/json";
  return response;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Admin>> Admin::Create(EventLoop* loop, const SocketAddress& address,
                                                     absl::Duration min_renewal_interval,
                                                     Logger* log, MetricRegistry* metrics) {
  std::unique_ptr<Admin> admin(new Admin(loop, min_renewal_interval, log, metrics));
  Admin* self = admin.get();
  std::vector<HttpServer::Route> routes;
  auto add = [&](const char* method, const char* path, HttpServer::Handler handler) {
    routes.push_back(
        {method, path, [self, handler = std::move(handler)](const HttpRequest& request) mutable {
           if (self->parts_.renewer == nullptr) return Text(503, "starting\n");
           return handler(request);
         }});
  };
  add("GET", "/", [self](const HttpRequest&) { return self->Page(); });
  add("GET", "/certs", [self](const HttpRequest&) { return self->Certs(); });
  add("GET", "/bundles", [self](const HttpRequest&) { return self->Bundles(); });
  add("GET", "/metrics", [self](const HttpRequest&) {
    HttpResponse response = Text(200, self->metrics_->RenderPrometheusText());
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  });
  add("GET", "/healthz/ready", [self](const HttpRequest&) { return self->Ready(); });
  // Answered by the loop that does everything else: while it answers, it lives.
  routes.push_back(
      {"GET", "/healthz/live", [](const HttpRequest&) { return Text(200, "live\n"); }});
  add("POST", "/logging",
      [self](const HttpRequest& request) { return self->SetLogLevel(request); });
  add("POST", "/renew", [self](const HttpRequest&) { return self->Renew(); });
  HttpServer::Options options;
  options.require_loopback_host = true;
  options.guard = &admin->guard_;
  options.evicted =
      metrics->AddCounter("byrnie_certagent_http_connections_evicted_total",
                          "Connections of HTTP clients closed to make room for newer ones.");
  absl::StatusOr<std::unique_ptr<HttpServer>> server =
      HttpServer::Create(loop, address, options, std::move(routes));
  if (!server.ok()) {
    return absl::Status(server.status().code(),
                        absl::StrCat("--admin: ", server.status().message()));
  }
  admin->server_ = *std::move(server);
  return admin;
}

Admin::Admin(EventLoop* loop, absl::Duration min_renewal_interval, Logger* log,
             MetricRegistry* metrics)
    : loop_(loop),
      min_renewal_interval_(min_renewal_interval),
      log_(log),
      metrics_(metrics),
      guard_(&owners_, geteuid()) {}

void Admin::Show(const Parts& parts) {
  DCHECK(parts_.renewer == nullptr);
  parts_ = parts;
  AddGauges();
}

std::string Admin::NotReadyBecause() const {
  if (parts_.renewer->snapshot() == nullptr) return "no certificate yet";
  if (!parts_.renewer->HasValidCertificate()) return "the certificate is not valid at this time";
  if (!parts_.discovery->Policies().has_value()) return "no policies yet";
  return "";
}

HttpResponse Admin::Ready() const {
  const std::string reason = NotReadyBecause();
  if (reason.empty()) return Text(200, "ready\n");
  return Text(503, absl::StrCat("not ready: ", reason, "\n"));
}

HttpResponse Admin::SetLogLevel(const HttpRequest& request) {
  absl::StatusOr<LogLevel> level = ParseLogLevel(request.QueryValue("level"));
  if (!level.ok()) return Text(400, absl::StrCat(level.status().message(), "\n"));
  log_->set_level(*level);
  return Text(200, absl::StrCat("log level ", LogLevelName(*level), "\n"));
}

HttpResponse Admin::Renew() {
  if (loop_->Now() < next_renewal_) return Text(429, "too soon after the renewal before\n");
  next_renewal_ = loop_->Now() + min_renewal_interval_;
  return parts_.renewer->RenewNow() ? Text(202, "renewal started\n")
                                    : Text(409, "a renewal is already under way\n");
}

HttpResponse Admin::Certs() const { return Json(CertsJson(*parts_.renewer, loop_->WallNow())); }

HttpResponse Admin::Bundles() const {
  const LinkSession* session = parts_.link->session();
  absl::optional<uint64_t> generation;
  if (session != nullptr && session->open()) {
    generation = session->acknowledged().identity_generation;
  }
  return Json(BundlesJson(*parts_.renewer, generation, loop_->WallNow()));
}

HttpResponse Admin::Page() const {
  const Renewer& renewer = *parts_.renewer;
  const std::string not_ready = NotReadyBecause();
  std::string rows;
  absl::StrAppend(&rows, Row("Release", kRelease),
                  Row("Ready", not_ready.empty() ? "yes" : absl::StrCat("no: ", not_ready)));
  if (const IdentitySnapshotPtr& snapshot = renewer.snapshot()) {
    absl::StrAppend(&rows, Row("SPIFFE ID", snapshot->id().text()),
                    Row("Certificate", absl::StrCat(CertificateState(renewer, loop_->WallNow()),
                                                    ", serial ", snapshot->leaf().SerialHex(),
                                                    ", until ", UtcText(snapshot->not_after()))),
                    Row("Outage budget", absl::FormatDuration(absl::Trunc(*renewer.outage_budget(),
                                                                          absl::Seconds(1)))));
  }
  absl::StrAppend(
      &rows,
      Row("Next renewal", renewer.issuing() ? "under way"
                                            : absl::StrCat(UtcText(renewer.next_attempt()), ": ",
                                                           RenewalReason(renewer))),
      Row("Last error", renewer.last_error().ok() ? "none" : renewer.last_error().ToString()),
      Row("Clock", renewer.authority_clock_offset().has_value()
                       ? absl::StrCat("the authority's is ahead by ",
                                      absl::FormatDuration(*renewer.authority_clock_offset()))
                       : "the authority has not told its time"),
      Row("Trust bundle version", absl::StrCat(renewer.bundle_version())),
      Row("Discovery",
          parts_.discovery->synced()
              ? absl::StrCat("connected, ", parts_.discovery->cache().address_count(),
                             " resources, ", parts_.discovery->cache().subscription_count(),
                             " addresses watched")
              : absl::StrCat("not connected: ", parts_.discovery->last_error().ToString())));
  const LinkSession* session = parts_.link->session();
  std::string proxy = "not connected";
  if (session != nullptr && session->open()) {
    const LinkSession::Acknowledged& ack = session->acknowledged();
    proxy = absl::StrCat("release ", session->proxy_release(), ", identity ",
                         ack.identity_generation, ", policies ", ack.policy_epoch, " in force");
    if (!ack.error.empty()) absl::StrAppend(&proxy, "; rejected: ", ack.error);
  }
  absl::StrAppend(&rows, Row("Proxy", proxy),
                  Row("Memory of the keys", SecretMemoryKindName(SecretMemoryInUse())));
  if (parts_.file_sink != nullptr) {
    const absl::Status& files = parts_.file_sink->status();
    absl::StrAppend(&rows, Row("Files", files.ok() ? "as they should be" : files.ToString()));
  }
  HttpResponse response = Text(
      200, absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<title>byrnie-certagent</title><style>body{font-family:sans-serif;"
                        "margin:2em}th{text-align:left;padding-right:2em}</style></head><body>\n"
                        "<h1>byrnie-certagent</h1>\n<table>\n",
                        rows,
                        "</table>\n<p><a href=\"/certs\">certs</a> "
                        "<a href=\"/bundles\">bundles</a> <a href=\"/metrics\">metrics</a> "
                        "<a href=\"/healthz/ready\">ready</a></p>\n"
                        "<p>POST /logging?level=debug, POST /renew</p>\n</body></html>\n"));
  response.content_type = "text/html; charset=utf-8";
  return response;
}

void Admin::AddGauges() {
  metrics_->AddCallbackGauge(
      "byrnie_certagent_cert_outage_budget_seconds",
      "Seconds until the first certificate expires, negative when it has; 0 without one.", [this] {
        return absl::ToDoubleSeconds(
            parts_.renewer->outage_budget().value_or(absl::ZeroDuration()));
      });
  metrics_->AddCallbackGauge(
      "byrnie_certagent_certificate_expiry_timestamp_seconds",
      "End of the present certificate, Unix time; 0 without one.", [this] {
        const IdentitySnapshotPtr& snapshot = parts_.renewer->snapshot();
        if (snapshot == nullptr) return 0.0;
        return static_cast<double>(absl::ToUnixSeconds(snapshot->not_after()));
      });
  metrics_->AddCallbackCounter("byrnie_certagent_log_lines_dropped_total",
                               "Lines of the log dropped because nobody read them in time.",
                               [this] { return static_cast<double>(log_->dropped_lines()); });
  for (const SecretMemoryKind kind :
       {SecretMemoryKind::kHidden, SecretMemoryKind::kLocked, SecretMemoryKind::kOrdinary}) {
    metrics_->AddCallbackGauge("byrnie_certagent_key_memory",
                               "1 for the kind of memory that keys are in.",
                               [kind] { return SecretMemoryInUse() == kind ? 1.0 : 0.0; },
                               {{"kind", std::string(SecretMemoryKindName(kind))}});
  }
  metrics_->AddCallbackGauge("byrnie_certagent_ready", "1 when the agent can do its job.",
                             [this] { return NotReadyBecause().empty() ? 1.0 : 0.0; });
  metrics_->AddCallbackGauge(
      "byrnie_certagent_renewal_failures_in_a_row", "Attempts since the latest success.",
      [this] { return static_cast<double>(parts_.renewer->failures_in_a_row()); });
  metrics_->AddCallbackGauge(
      "byrnie_certagent_trust_bundle_version", "Version of the trust bundles in force.",
      [this] { return static_cast<double>(parts_.renewer->bundle_version()); });
  metrics_->AddCallbackGauge(
      "byrnie_certagent_authority_clock_offset_seconds",
      "How far the authority's clock is ahead of this one, by the latest exchange.", [this] {
        return absl::ToDoubleSeconds(
            parts_.renewer->authority_clock_offset().value_or(absl::ZeroDuration()));
      });
  metrics_->AddCallbackGauge("byrnie_certagent_discovery_connected",
                             "1 while discovery follows the control plane.",
                             [this] { return parts_.discovery->synced() ? 1.0 : 0.0; });
  metrics_->AddCallbackGauge(
      "byrnie_certagent_discovery_resources", "Workloads and services known.",
      [this] { return static_cast<double>(parts_.discovery->cache().address_count()); });
  metrics_->AddCallbackGauge("byrnie_certagent_proxy_connected", "1 while a proxy is on the link.",
                             [this] {
                               const LinkSession* session = parts_.link->session();
                               return session != nullptr && session->open() ? 1.0 : 0.0;
                             });
}

}  // namespace byrnie
