#include "controlplane/kubernetes/list_watch.h"

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "controlplane/kubernetes/resource_version.h"

namespace byrnie {
namespace {

// Of a page. Where the server gives all at once it may be long; each object is forgotten once read.
constexpr size_t kMaxPage = 512 * 1024 * 1024;
// Of an event; etcd takes objects of 1.5 MiB, which JSON makes larger.
constexpr size_t kMaxEvent = 16 * 1024 * 1024;
// What a server needs beyond the time that a watch is to take.
constexpr absl::Duration kWatchGrace = absl::Seconds(30);
// A watch that ends sooner, without an event, has failed.
constexpr absl::Duration kShortWatch = absl::Seconds(1);

constexpr char kRequests[] = "byrnie_controlplane_kubernetes_requests_total";
constexpr char kRequestsHelp[] =
    "Lists, checks how far the server is, and watches begun at the API server, by resource and "
    "kind.";

// The metadata of a list, whose items `on_item` is given one by one.
absl::StatusOr<JsonObject> ReadList(const std::string& body,
                                    absl::FunctionRef<void(const JsonValue& item)> on_item) {
  ASSIGN_OR_RETURN(JsonObject list,
                   JsonValue::ParseLists(body, kMaxPage,
                                         [&](absl::string_view member, const JsonValue& element) {
                                           if (member == "items") on_item(element);
                                           return absl::OkStatus();
                                         }));
  return list.GetObject("metadata");
}

}  // namespace

ListWatch::ListWatch(Options options, ApiClient* client, EventLoop* loop, absl::BitGenRef random,
                     Sink* sink, Logger* logger, MetricRegistry* metrics)
    : options_(std::move(options)),
      client_(client),
      loop_(loop),
      random_(random),
      sink_(sink),
      logger_(logger),
      lists_(metrics->AddCounter(kRequests, kRequestsHelp,
                                 {{"resource", options_.name}, {"kind", "list"}})),
      checks_(metrics->AddCounter(kRequests, kRequestsHelp,
                                  {{"resource", options_.name}, {"kind", "check"}})),
      watches_(metrics->AddCounter(kRequests, kRequestsHelp,
                                   {{"resource", options_.name}, {"kind", "watch"}})),
      events_(
          metrics->AddCounter("byrnie_controlplane_kubernetes_events_total",
                              "Events that watches of the API server have brought, by resource.",
                              {{"resource", options_.name}})),
      failures_(metrics->AddCounter("byrnie_controlplane_kubernetes_failures_total",
                                    "Lists, checks and watches that failed, by resource.",
                                    {{"resource", options_.name}})),
      set_back_(metrics->AddCounter(
          "byrnie_controlplane_kubernetes_set_back_total",
          "Times that the API server had an older state than before, as after a restore of its "
          "etcd, and all was listed anew, by the resource that showed it.",
          {{"resource", options_.name}})),
      backoff_(options_.backoff, random),
      last_heard_(loop->Now()),
      act_(loop->NewTimer([this] { Act(); })),
      list_again_(loop->NewTimer([this] { list_due_ = true; })) {
  act_->Schedule(absl::ZeroDuration());
}

void ListWatch::Act() {
  call_.reset();
  if (next_ == Next::kList || list_due_) return List();
  if (next_ == Next::kCheck) return Check();
  Watch();
}

void ListWatch::List() {
  next_ = Next::kList;
  if (!listing_) {
    listing_ = true;
    continue_.clear();
    sink_->OnListBegin();
    lists_->Increment();
  }
  std::vector<std::string> parameters;
  if (!whole_) parameters.push_back(absl::StrCat("limit=", options_.page_size));
  if (!continue_.empty()) parameters.push_back(absl::StrCat("continue=", EncodeQuery(continue_)));
  ApiRequest request;
  request.target = Target(parameters);
  request.accept = Accept();
  request.timeout = absl::Minutes(1);
  request.max_body = kMaxPage;
  ApiClient::Handlers handlers;
  handlers.on_done = [this](absl::StatusOr<ApiResponse> response) { OnPage(std::move(response)); };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void ListWatch::OnPage(absl::StatusOr<ApiResponse> response) {
  if (!response.ok()) return Retry(Next::kList, response.status());
  if (response->status == 410) {
    // It took too long to ask for the next page. Pages again would take as long.
    listing_ = false;
    whole_ = true;
    return Retry(Next::kList, ApiError(*response));
  }
  if (response->status == 404) {
    listing_ = false;
    path_ = (path_ + 1) % options_.paths.size();
    // All have been tried: the server may have one of them later.
    if (path_ == 0) return Retry(Next::kList, ApiError(*response));
    return act_->Schedule(absl::ZeroDuration());
  }
  if (!response->ok()) return Retry(Next::kList, ApiError(*response), response->retry_after);
  last_heard_ = loop_->Now();
  const absl::Status read = ReadPage(response->body);
  if (!read.ok()) {
    listing_ = false;
    return Retry(Next::kList, read);
  }
  if (continue_.empty()) {
    listing_ = whole_ = list_due_ = uncertain_ = false;
    listed_ = loop_->Now();
    sink_->OnListEnd();
    Succeeded();
    list_again_->Schedule(Spread(options_.list_every));
    next_ = Next::kWatch;
  }
  act_->Schedule(absl::ZeroDuration());
}

absl::Status ListWatch::ReadPage(const std::string& body) {
  ASSIGN_OR_RETURN(JsonObject metadata,
                   ReadList(body, [this](const JsonValue& item) { sink_->OnListed(item); }));
  ASSIGN_OR_RETURN(std::string now, metadata.GetString("resourceVersion"));
  ASSIGN_OR_RETURN(continue_, metadata.GetStringOr("continue", ""));
  IsSetBack(now);
  resource_version_ = std::move(now);
  return absl::OkStatus();
}

void ListWatch::Check() {
  checks_->Increment();
  ApiRequest request;
  // As it is now: for a list of a version that we name the server may take one from its memory.
  request.target = Target({"limit=1"});
  request.accept = Accept();
  request.timeout = absl::Minutes(1);
  request.max_body = kMaxPage;
  ApiClient::Handlers handlers;
  handlers.on_done = [this](absl::StatusOr<ApiResponse> response) { OnCheck(std::move(response)); };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void ListWatch::OnCheck(absl::StatusOr<ApiResponse> response) {
  if (!response.ok() || response->status >= 500) uncertain_ = true;
  if (!response.ok()) return Retry(Next::kCheck, response.status());
  if (response->status == 404) return TryNextPath(*response);
  // What refuses to list one does not list all.
  if (!response->ok()) return Retry(Next::kCheck, ApiError(*response), response->retry_after);
  last_heard_ = loop_->Now();
  const auto read = [&]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(JsonObject metadata, ReadList(response->body, [](const JsonValue&) {}));
    return metadata.GetString("resourceVersion");
  };
  const absl::StatusOr<std::string> now = read();
  if (!now.ok()) return Retry(Next::kList, now.status());
  if (!IsOlderVersion(*now, resource_version_).has_value()) uncertain_ = true;
  const bool list =
      IsSetBack(*now) || (uncertain_ && loop_->Now() - listed_ >= options_.list_after_outage);
  next_ = list ? Next::kList : Next::kWatch;
  act_->Schedule(absl::ZeroDuration());
}

void ListWatch::Watch() {
  watches_->Increment();
  watch_begun_ = loop_->Now();
  watch_heard_ = false;
  line_.clear();
  absl::Duration watch_for = Spread(options_.watch_for);
  if (uncertain_) {
    const absl::Duration until_list = listed_ + options_.list_after_outage - loop_->Now();
    watch_for = std::max(std::min(watch_for, until_list), absl::Seconds(1));
  }
  ApiRequest request;
  request.target = Target({"watch=1", "allowWatchBookmarks=true",
                           absl::StrCat("resourceVersion=", EncodeQuery(resource_version_)),
                           absl::StrCat("timeoutSeconds=", absl::ToInt64Seconds(watch_for))});
  request.accept = Accept();
  request.timeout = watch_for + kWatchGrace;
  ApiClient::Handlers handlers;
  handlers.on_data = [this](absl::string_view bytes) { OnBytes(bytes); };
  handlers.on_done = [this](absl::StatusOr<ApiResponse> response) {
    OnWatchEnd(std::move(response));
  };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void ListWatch::OnBytes(absl::string_view bytes) {
  last_heard_ = loop_->Now();
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    absl::StrAppend(&line_, bytes.substr(0, end));
    if (line_.size() > kMaxEvent) {
      call_.reset();
      return Retry(Next::kList, absl::ResourceExhaustedError("an event is too large"));
    }
    if (end == absl::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    const std::string line = std::move(line_);
    line_.clear();
    if (!line.empty() && !OnLine(line)) break;
  }
  sink_->OnEventsEnd();
}

bool ListWatch::OnLine(absl::string_view line) {
  const auto read = [&]() -> absl::StatusOr<std::pair<std::string, JsonObject>> {
    ASSIGN_OR_RETURN(JsonValue value, JsonValue::Parse(line, kMaxEvent));
    ASSIGN_OR_RETURN(JsonObject event, value.AsObject());
    ASSIGN_OR_RETURN(std::string type, event.GetString("type"));
    ASSIGN_OR_RETURN(JsonObject object, event.GetObject("object"));
    return std::make_pair(std::move(type), std::move(object));
  };
  const auto version = [](const JsonObject& object) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(JsonObject metadata, object.GetObject("metadata"));
    return metadata.GetString("resourceVersion");
  };
  const absl::StatusOr<std::pair<std::string, JsonObject>> event = read();
  if (event.ok() && event->first == "ERROR") {
    OnErrorEvent(event->second);
    return false;
  }
  absl::StatusOr<std::string> now = event.ok() ? version(event->second) : event.status();
  if (!now.ok()) {
    // What else it missed nobody knows.
    call_.reset();
    Retry(Next::kList, now.status());
    return false;
  }
  if (IsSetBack(*now)) {
    ListAnew();
    return false;
  }
  watch_heard_ = true;
  const std::string& type = event->first;
  if (type == "ADDED" || type == "MODIFIED") {
    events_->Increment();
    sink_->OnPut(event->second.value());
  } else if (type == "DELETED") {
    events_->Increment();
    sink_->OnDelete(event->second.value());
  }  // A BOOKMARK has a version and no more.
  resource_version_ = *std::move(now);
  return true;
}

void ListWatch::OnErrorEvent(const JsonObject& object) {
  call_.reset();
  const absl::StatusOr<int64_t> code = object.GetIntOr("code", 0, 999, 0);
  const absl::StatusOr<std::string> message = object.GetStringOr("message", "");
  const absl::Status why = absl::UnavailableError(
      absl::StrCat("the watch ended with ", code.value_or(0), ": ", message.value_or("")));
  if (code.value_or(0) == 410) return ListAnew();
  Retry(Next::kList, why);
}

void ListWatch::OnWatchEnd(absl::StatusOr<ApiResponse> response) {
  if (response.ok() && response->status == 410) return ListAnew();
  if (response.ok() && response->status == 404) return TryNextPath(*response);
  if (response.ok() && !response->ok()) {
    // One that is busy or starting knows the version; another would not take it the next time.
    const bool busy = response->status == 429 || response->status == 503;
    return Retry(busy ? Next::kCheck : Next::kList, ApiError(*response), response->retry_after);
  }
  const bool is_short = !watch_heard_ && loop_->Now() - watch_begun_ < kShortWatch;
  if (!response.ok() || is_short) {
    return Retry(Next::kCheck, response.ok() ? absl::UnavailableError("the watch ended at once")
                                             : response.status());
  }
  Succeeded();
  next_ = Next::kCheck;
  act_->Schedule(absl::ZeroDuration());
}

void ListWatch::TryNextPath(const ApiResponse& not_found) {
  path_ = (path_ + 1) % options_.paths.size();
  Retry(Next::kList, ApiError(not_found));
}

bool ListWatch::IsSetBack(absl::string_view now) {
  if (!IsOlderVersion(now, resource_version_).value_or(false)) return false;
  set_back_->Increment();
  logger_->Warning(
      "the API server has an older state than before, as after a restore: all is listed anew",
      {{"resource", options_.name}, {"known", resource_version_}, {"now", now}});
  resource_version_.clear();
  if (options_.on_set_back) options_.on_set_back();
  return true;
}

void ListWatch::ListAgain() {
  resource_version_.clear();
  backoff_.Reset();
  ListAnew();
}

void ListWatch::ListAnew() {
  call_.reset();
  listing_ = false;
  next_ = Next::kList;
  // Many lose their watch at the same moment.
  act_->Schedule(backoff_.Next());
}

void ListWatch::Retry(Next next, const absl::Status& why,
                      absl::optional<absl::Duration> retry_after) {
  failures_->Increment();
  next_ = next;
  const absl::Duration wait = std::max(backoff_.Next(), retry_after.value_or(absl::ZeroDuration()));
  act_->Schedule(wait);
  if (logged_ == why.message()) return;
  logged_ = std::string(why.message());
  logger_->Warning("cannot follow the API server, what is known of it stays in force",
                   {{"resource", options_.name},
                    {"error", why.message()},
                    {"again_in", absl::FormatDuration(wait)}});
}

void ListWatch::Succeeded() {
  backoff_.Reset();
  if (!logged_.empty())
    logger_->Info("the API server is followed again", {{"resource", options_.name}});
  logged_.clear();
}

absl::Duration ListWatch::Spread(absl::Duration least) {
  return least * absl::Uniform(random_, 1.0, 2.0);
}

std::string ListWatch::Accept() const {
  if (!options_.metadata_only) return "application/json";
  // The list's kind; of a watch the server takes it for each object's.
  return next_ == Next::kWatch ? "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
                               : "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
}

std::string ListWatch::Target(const std::vector<std::string>& parameters) const {
  return absl::StrCat(options_.paths[path_], "?", absl::StrJoin(parameters, "&"),
                      options_.parameters.empty() ? "" : "&", options_.parameters);
}

}  // namespace byrnie
