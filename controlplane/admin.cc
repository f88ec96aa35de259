#include "controlplane/admin.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/base/json_writer.h"
#include "common/base/version.h"

namespace byrnie {
namespace {

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

// "in 3h12m4s", in whole seconds.
std::string LeftText(absl::Duration left) {
  if (left <= absl::ZeroDuration()) return "expired";
  return absl::StrCat("in ", absl::FormatDuration(absl::Floor(left, absl::Seconds(1))));
}

constexpr char kPageHead[] = R"html(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>byrnie-controlplane</title>
<style>body{font-family:sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}
th,td{text-align:left;padding:.2em 1em .2em 0}th{border-bottom:1px solid}code{font-size:95%}</style>
</head><body><h1>byrnie-controlplane</h1>
)html";

HttpResponse FrontPage(const AdminSources& s, bool may_change) {
  const absl::Time now = s.clock->WallNow();
  const RegistrySnapshotPtr registry = s.registry->snapshot();
  const CertificatePtr root = s.authority->root();
  std::string page = kPageHead;
  absl::StrAppend(
      &page, "<table><tr><td>version</td><td>", kRelease, "</td></tr><tr><td>trust domain</td><td>",
      EscapeHtml(s.authority->trust_domain()),
      "</td></tr><tr><td>root certificate</td><td>expires ", TimeText(root->not_after()),
      "<br>SHA-256 <code>", root->FingerprintHex(), "</code></td></tr><tr><td>registry</td><td>",
      registry->workload_count(), " workloads, ", registry->service_count(), " services, ",
      registry->policy_count(), " policies (<a href=\"registry\">registry</a>)</td></tr>",
      "<tr><td>log level</td><td>", LogLevelName(s.logger->level()),
      may_change ? " (POST /logging?level=error|warning|info|debug)" : "", "</td></tr></table>\n");
  const std::vector<AgentTable::Agent> agents = s.agents->List();
  absl::StrAppend(&page, "<h2>", agents.size(), " agents connected</h2>\n<table><tr>",
                  "<th>identity</th><th>address</th><th>connected since</th>",
                  "<th>certificate expires</th><th>proven by</th><th>trust bundle</th></tr>\n");
  for (const AgentTable::Agent& agent : agents) {
    absl::StrAppend(
        &page, "<tr><td>", EscapeHtml(agent.id.text()), "</td><td>", EscapeHtml(agent.address),
        "</td><td>", TimeText(agent.connected_since), "</td><td>",
        agent.certificate_not_after.has_value() ? LeftText(*agent.certificate_not_after - now)
                                                : "not issued since the start",
        "</td><td>", EscapeHtml(agent.certificate_proof), "</td><td>version ",
        agent.acknowledged_bundle_version, "</td></tr>\n");
  }
  absl::StrAppend(&page, "</table>\n<p>", may_change ? "<a href=\"mesh\">mesh</a> · " : "",
                  "<a href=\"metrics\">metrics</a> · ",
                  "<a href=\"healthz\">healthz</a> · <a href=\"readyz\">readyz</a></p>",
                  "</body></html>\n");
  return HttpResponse{200, "text/html; charset=utf-8", std::move(page)};
}

HttpResponse RegistryPage(const AdminSources& s) {
  const RegistrySnapshotPtr registry = s.registry->snapshot();
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject();
  json.Field("workloads", registry->workload_count());
  json.Field("services", registry->service_count());
  json.Field("policies", registry->policy_count());
  for (ResourceType type : kResourceTypes) {
    json.Key(type == ResourceType::kAddress ? "addresses" : "authorizations").BeginArray();
    for (const auto& entry : registry->resources(type)) {
      json.BeginObject();
      json.Field("name", entry.second.name);
      json.Field("version", entry.second.version);
      json.Key("aliases").BeginArray();
      for (const std::string& alias : entry.second.aliases) json.Value(alias);
      json.EndArray().EndObject();
    }
    json.EndArray();
  }
  json.EndObject();
  return HttpResponse{200, "application/json", std::move(json).Finish() + "\n"};
}

HttpResponse SetLogging(const AdminSources& s, const HttpRequest& request) {
  const absl::StatusOr<LogLevel> level = ParseLogLevel(request.QueryValue("level"));
  if (!level.ok()) {
    return HttpResponse{400, "text/plain; charset=utf-8",
                        absl::StrCat(level.status().message(), "\n")};
  }
  s.logger->set_level(*level);
  return HttpResponse{200, "text/plain; charset=utf-8",
                      absl::StrCat("log level is ", LogLevelName(*level), "\n")};
}

HttpResponse Health(const absl::Status& status, absl::string_view good) {
  return HttpResponse{status.ok() ? 200 : 503, "text/plain; charset=utf-8",
                      absl::StrCat(status.ok() ? good : status.message(), "\n")};
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> StartAdminServer(EventLoop* loop,
                                                             const SocketAddress& address,
                                                             const AdminSources& sources) {
  std::vector<HttpServer::Route> routes;
  // What changes something is for this machine alone, and not for a page in somebody's browser.
  const bool may_change = address.ip().IsLoopback();
  routes.push_back({"GET", "/", [sources, may_change](const HttpRequest&) {
                      return FrontPage(sources, may_change);
                    }});
  routes.push_back({"GET", "/metrics", [sources](const HttpRequest&) {
                      return HttpResponse{200, "text/plain; version=0.0.4; charset=utf-8",
                                          sources.metrics->RenderPrometheusText()};
                    }});
  routes.push_back({"GET", "/healthz",
                    [sources](const HttpRequest&) { return Health(sources.liveness(), "ok"); }});
  routes.push_back({"GET", "/readyz", [sources](const HttpRequest&) {
                      return Health(sources.readiness(), "ready");
                    }});
  routes.push_back(
      {"GET", "/registry", [sources](const HttpRequest&) { return RegistryPage(sources); }});
  HttpServer::Options options;
  options.evicted = sources.metrics->AddCounter(
      "byrnie_controlplane_http_connections_evicted_total",
      "Connections of HTTP clients closed to make room for newer ones.");
  if (may_change) {
    routes.push_back(
        {"GET", "/mesh", [sources](const HttpRequest&) { return sources.mesh->Page(); }});
    routes.push_back(
        {"GET", "/mesh.json", [sources](const HttpRequest&) { return sources.mesh->State(); }});
    options.require_loopback_host = true;
    options.guard = sources.guard;
    routes.push_back({"POST", "/logging", [sources](const HttpRequest& request) {
                        return SetLogging(sources, request);
                      }});
  }
  return HttpServer::Create(loop, address, options, std::move(routes));
}

}  // namespace byrnie
