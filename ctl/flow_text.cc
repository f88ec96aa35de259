#include "ctl/flow_text.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string Bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? absl::StrCat(bytes, " B") : absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string Ago(absl::Time time, absl::Time now) {
  return absl::StrCat(ShortDuration(std::max(now - time, absl::ZeroDuration())), " ago");
}

const char* TitleOf(v1::PolicyChange::Kind kind) {
  switch (kind) {
    case v1::PolicyChange::KIND_NEWLY_DENIED:
      return "newly denied";
    case v1::PolicyChange::KIND_NEWLY_ALLOWED:
      return "newly allowed";
    case v1::PolicyChange::KIND_AUDIT_DENY:
      return "a dry-run policy would deny";
    case v1::PolicyChange::KIND_AUDIT_ALLOW:
      return "a dry-run policy would allow";
    default:
      return "unknown";
  }
}

std::string Scope(uint64_t flows, uint64_t connections, bool has_times,
                  const google::protobuf::Timestamp& since,
                  const google::protobuf::Timestamp& until) {
  if (flows == 0) return "looked at no connections: none was reported that policies decide about";
  return absl::StrCat(
      "looked at ", Plural(connections, "connection"), " in ", Plural(flows, "flow"),
      has_times ? absl::StrCat(", from ", Rfc3339(since), " to ", Rfc3339(until)) : "");
}

template <typename Message>
std::string ScopeOf(const Message& message) {
  return Scope(message.flows(), message.connections(), message.has_since(), message.since(),
               message.until());
}

template <typename Message>
void AddScope(const Message& from, Message* to) {
  to->set_flows(to->flows() + from.flows());
  to->set_connections(to->connections() + from.connections());
  if (!from.has_since()) return;
  if (!to->has_since() || TimeOf(from.since()) < TimeOf(to->since())) {
    *to->mutable_since() = from.since();
  }
  if (!to->has_until() || TimeOf(from.until()) > TimeOf(to->until())) {
    *to->mutable_until() = from.until();
  }
}

// Pods of one identity are one line: what is different of them is the policies' doing alone where
// these name addresses.
struct ChangeLine {
  std::string source, destination, path, before, after, policy;
  uint64_t connections = 0;
  absl::Time last = absl::InfinitePast();
};

std::string ChangesText(const v1::DiffPoliciesResponse& diff, v1::PolicyChange::Kind kind,
                        absl::Time now) {
  std::map<std::tuple<std::string, std::string, std::string, std::string>, ChangeLine> lines;
  for (const v1::PolicyChange& change : diff.changes()) {
    if (change.kind() != kind) continue;
    const v1::Flow& flow = change.flow();
    const std::string& address = flow.destination_address();
    const std::string destination =
        absl::StrCat(DestinationLabel(flow), ":", address.substr(address.rfind(':') + 1));
    const std::string source =
        change.source_address().empty()
            ? SourceLabel(flow)
            : absl::StrCat(SourceLabel(flow), " from ", change.source_address());
    ChangeLine& line = lines[{source, destination, change.reason_after(), change.policy()}];
    line.source = source;
    line.destination = destination;
    line.path = flow.path();
    line.before = change.reason_before();
    line.after = change.policy().empty() ? change.reason_after() : change.policy();
    line.connections += flow.connections();
    line.last = std::max(line.last, TimeOf(flow.last_seen()));
  }
  if (lines.empty()) return "";
  Rows rows = {
      {"  SOURCE", "DESTINATION", "PATH", "CONNECTIONS", "LAST SEEN", "NOW",
       kind == v1::PolicyChange::KIND_AUDIT_DENY || kind == v1::PolicyChange::KIND_AUDIT_ALLOW
           ? "POLICY"
           : "THEN"}};
  for (const auto& [key, line] : lines) {
    rows.push_back({absl::StrCat("  ", Printable(line.source)), Printable(line.destination),
                    Printable(line.path), absl::StrCat(line.connections), Ago(line.last, now),
                    Printable(line.before), Printable(line.after)});
  }
  return absl::StrCat(TitleOf(kind), ":\n", Table(rows));
}

}  // namespace

std::string FlowTableText(const std::vector<FlowGroup>& groups, absl::Time now) {
  if (groups.empty()) return "no connection was reported\n";
  Rows rows = {{"SOURCE", "DESTINATION", "PATH", "VERDICT", "CONNECTIONS", "OPEN", "SENT",
                "RECEIVED", "LAST SEEN", "REASON", "SERVICE"}};
  for (const FlowGroup& group : groups) {
    const bool allowed = group.verdict == v1::Flow::VERDICT_ALLOWED;
    rows.push_back({Printable(group.source),
                    absl::StrCat(Printable(group.destination), ":", group.port),
                    Printable(group.path),
                    absl::StrCat(allowed                                     ? "allowed"
                                 : group.verdict == v1::Flow::VERDICT_DENIED ? "DENIED"
                                                                             : "FAILED",
                                 group.says_source_alone ? " (says source)" : ""),
                    absl::StrCat(group.connections), absl::StrCat(group.open),
                    Bytes(group.bytes_sent), Bytes(group.bytes_received), Ago(group.last_seen, now),
                    Printable(group.reason), Printable(group.service)});
  }
  return Table(rows);
}

v1::DiffPoliciesResponse MergeDiffs(const std::vector<v1::DiffPoliciesResponse>& answers) {
  v1::DiffPoliciesResponse merged;
  std::set<std::tuple<int, std::string, std::string>> known;
  for (int kind = 1; v1::PolicyChange::Kind_IsValid(kind); ++kind) {
    for (const v1::DiffPoliciesResponse& answer : answers) {
      for (const v1::PolicyChange& change : answer.changes()) {
        if (change.kind() != kind) continue;
        if (known.insert({kind, change.flow().id(), change.policy()}).second) {
          *merged.add_changes() = change;
        }
      }
    }
  }
  for (const v1::DiffPoliciesResponse& answer : answers) {
    merged.set_more(merged.more() + answer.more());
    merged.set_partly(merged.partly() + answer.partly());
    AddScope(answer, &merged);
  }
  return merged;
}

bool ChangesAnything(const v1::DiffPoliciesResponse& diff) {
  if (diff.more() > 0) return true;
  return std::any_of(diff.changes().begin(), diff.changes().end(),
                     [](const v1::PolicyChange& change) {
                       return change.kind() == v1::PolicyChange::KIND_NEWLY_DENIED ||
                              change.kind() == v1::PolicyChange::KIND_NEWLY_ALLOWED;
                     });
}

std::string DiffText(const v1::DiffPoliciesResponse& diff, absl::Time now) {
  std::string text;
  for (const auto kind : {v1::PolicyChange::KIND_NEWLY_DENIED, v1::PolicyChange::KIND_NEWLY_ALLOWED,
                          v1::PolicyChange::KIND_AUDIT_DENY, v1::PolicyChange::KIND_AUDIT_ALLOW}) {
    absl::StrAppend(&text, ChangesText(diff, kind, now));
  }
  if (diff.more() > 0) absl::StrAppend(&text, "and ", diff.more(), " more\n");
  if (diff.flows() == 0 && !ChangesAnything(diff)) {
    return absl::StrCat(text,
                        "no connection was seen to compare with: this says nothing of what the "
                        "policies would do\n");
  }
  if (!ChangesAnything(diff)) absl::StrAppend(&text, "no change\n");
  absl::StrAppend(&text, ScopeOf(diff), "\n");
  if (diff.partly() > 0) {
    absl::StrAppend(&text, "the policies name source addresses, and of ",
                    Plural(diff.partly(), "flow"),
                    " only the last one is known: others may be decided otherwise\n");
  }
  return text;
}

v1::SuggestPoliciesResponse MergeSuggestions(const v1::SuggestPoliciesResponse& before,
                                             const v1::SuggestPoliciesResponse& after) {
  v1::SuggestPoliciesResponse merged = after;
  AddScope(before, &merged);
  return merged;
}

std::string SuggestionNotes(const v1::SuggestPoliciesResponse& suggestion, const std::string& ns) {
  if (suggestion.document().empty()) {
    return absl::StrCat("the proxies of namespace ", ns, " have reported nobody who is let in",
                        "; there is nothing to suggest\n");
  }
  std::string text = absl::StrCat(
      ScopeOf(suggestion), "\n",
      "it names the addresses that workloads have now: one that gets another is closed until a new "
      "suggestion is applied\n");
  if (!suggestion.unreached().empty()) {
    absl::StrAppend(&text, "it lets nobody in to ",
                    Printable(absl::StrJoin(suggestion.unreached(), ", ")),
                    ", whose proxies have reported nobody\n");
  }
  return text;
}

}  // namespace byrnie
