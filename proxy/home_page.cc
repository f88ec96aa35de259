#include "proxy/home_page.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/base/utc_text.h"
#include "common/base/version.h"
#include "proxy/reason_set.h"

namespace byrnie {
namespace {

std::string Html(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// For people: no fractions of a second.
std::string Rounded(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

// What happened most comes first.
void AppendRefusals(const HomeFacts& facts, std::string* html) {
  std::vector<std::pair<uint64_t, absl::string_view>> counts;
  for (size_t i = 0; i < std::min(facts.refusals.size(), AllReasons().size()); ++i) {
    if (facts.refusals[i] > 0) counts.emplace_back(facts.refusals[i], AllReasons()[i]);
  }
  std::sort(counts.rbegin(), counts.rend());
  absl::StrAppend(html, "<h2>Refused, failed or cut in the last ", Rounded(facts.refusals_cover),
                  "</h2>\n");
  if (counts.empty()) {
    absl::StrAppend(html, "<p>Nothing.\n");
    return;
  }
  absl::StrAppend(html, "<table>");
  for (const auto& [count, reason] : counts) {
    absl::StrAppend(html, "<tr><td>", count, "<td><a href=\"/recorder?reason=", reason, "\">",
                    reason, "</a>\n");
  }
  absl::StrAppend(html, "</table><p>What each means and what to do: docs/operations.md.\n");
}

std::string Milliseconds(absl::Duration duration) {
  return absl::StrFormat("%.1f ms", absl::ToDoubleMilliseconds(duration));
}

// Of each stage of the set-up, the slowest first.
void AppendStages(const HomeFacts& facts, std::string* html) {
  struct Row {
    absl::Duration most;
    absl::Duration median;
    size_t count = 0;
    StageTimes::Stage stage = StageTimes::kDestination;
    const FlightRecorder::Entry* slowest = nullptr;
  };
  std::vector<Row> rows;
  for (size_t i = 0; i < StageTimes::kSetupStages; ++i) {
    Row row;
    row.stage = static_cast<StageTimes::Stage>(i);
    std::vector<absl::Duration> all;
    for (const FlightRecorder::Entry& entry : facts.ended) {
      const absl::optional<absl::Duration> took = entry.stages().Get(row.stage);
      if (!took.has_value()) continue;
      all.push_back(*took);
      if (row.slowest != nullptr && *took <= row.most) continue;
      row.most = *took;
      row.slowest = &entry;
    }
    if (all.empty()) continue;
    row.count = all.size();
    std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
    row.median = all[all.size() / 2];
    rows.push_back(row);
  }
  absl::StrAppend(html, "<h2>Slowest stages of the last ", facts.ended.size(),
                  " connections</h2>\n");
  if (rows.empty()) {
    absl::StrAppend(html, "<p>None yet.\n");
    return;
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.most > b.most; });
  absl::StrAppend(html, "<table><tr><th>stage<th>median<th>slowest<th>was\n");
  for (const Row& row : rows) {
    const AccessRecord record = row.slowest->ToRecord();
    absl::StrAppend(html, "<tr><td>", StageTimes::NameOf(row.stage), "<td>",
                    Milliseconds(row.median), "<td>", Milliseconds(row.most), "<td>",
                    NameOf(record.direction), " to ", Html(record.original_destination.ToString()),
                    " ", Html(record.service), " at ", UtcText(record.start), ", ",
                    row.slowest->reason(), "\n");
  }
  absl::StrAppend(html, "</table>\n");
}

}  // namespace

std::string RenderHome(const HomeFacts& facts, const ProxyConfig& config) {
  std::string identity = "none yet";
  std::string expiry = "-";
  std::string budget = "-";
  if (facts.mesh->identity != nullptr) {
    const IdentitySnapshot& snapshot = *facts.mesh->identity->identity;
    identity = snapshot.id().text();
    expiry = absl::StrCat(UtcText(snapshot.not_after()),
                          snapshot.not_after() > facts.now ? "" : " (expired)");
    budget = Rounded(snapshot.not_after() - facts.now);
  }
  const std::pair<const char*, std::string> rows[] = {
      {"Identity", identity},
      {"Certificate ends", expiry},
      {"Outage budget", budget},
      {"Readiness", facts.readiness},
      {"Agent", facts.link_up ? "linked" : "no link; the last state stays in force"},
      {"Inbound plaintext",
       config.inbound.strict ? "refused (strict)" : "where policies allow (permissive)"},
      {"Policies", facts.mesh->policies == nullptr
                       ? "none yet, inbound is denied"
                       : absl::StrCat(facts.mesh->policies->policies().size(), ", epoch ",
                                      facts.mesh->policies->epoch())},
      {"Routes", absl::StrCat(facts.mesh->routes->workload_count(), " workloads, ",
                              facts.mesh->routes->service_count(), " services")},
      {"Open connections", absl::StrCat(facts.connections)},
      {"Running for", Rounded(facts.uptime)},
      {"Release", kRelease},
  };
  std::string html =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>byrnie-proxy</title>"
      "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 "
      "1rem}"
      "th{text-align:left;padding-right:2rem;font-weight:600;vertical-align:top}"
      "td{word-break:break-word}code{background:#eee;padding:0 .3rem}</style>"
      "<h1>byrnie-proxy</h1><table>";
  for (const auto& [name, value] : rows) {
    absl::StrAppend(&html, "<tr><th>", name, "<td>", Html(value), "\n");
  }
  absl::StrAppend(&html, "</table>\n");
  AppendRefusals(facts, &html);
  AppendStages(facts, &html);
  absl::StrAppend(&html,
                  "<h2>Look</h2><ul>"
                  "<li><a href=\"/connections\">/connections</a>: what is open, with identities, "
                  "bytes and what "
                  "admits it (<code>?direction=inbound&amp;peer=ID&amp;limit=10</code>)"
                  "<li><a href=\"/recorder\">/recorder</a>: the last ",
                  FlightRecorder::kCapacity,
                  " that ended, with stages (<a href=\"/recorder?result=denied\">denied</a>, "
                  "<a href=\"/recorder?result=failed\">failed</a>, "
                  "<a href=\"/recorder?slow=100ms\">slow</a>; "
                  "<code>?reason=REASON&amp;peer=ID</code>)"
                  "<li><a href=\"/certs\">/certs</a>: own chain and trust bundles"
                  "<li><a href=\"/config_dump\">/config_dump</a>: flags, routes, policies"
                  "<li><a href=\"/metrics\">/metrics</a>: for Prometheus; also on port ",
                  config.stats_port, "<li>port ", config.status_port,
                  ", /healthz/ready: readiness</ul>"
                  "<h2>Do</h2><ul>"
                  "<li><code>curl -X POST '",
                  config.admin.ToString(),
                  "/logging?level=debug'</code>: error, warning, info or debug"
                  "<li><code>curl -X POST ",
                  config.admin.ToString(),
                  "/drain</code>: no new inbound connections, end when idle"
                  "<li><code>curl -X POST ",
                  config.admin.ToString(), "/quitquitquit</code>: end now</ul></html>\n");
  return html;
}

}  // namespace byrnie
