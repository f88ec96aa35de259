#include "controlplane/kubernetes/list_watch.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

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
constexpr char kRequestsHelp[] = "Lists and watches begun at the API server, by resource and kind.";

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
      watches_(metrics->AddCounter(kRequests, kRequestsHelp,
                                   {{"resource", options_.name}, {"kind", "watch"}})),
      events_(
          metrics->AddCounter("byrnie_controlplane_kubernetes_events_total",
                              "Events that watches of the API server have brought, by resource.",
                              {{"resource", options_.name}})),
      failures_(metrics->AddCounter("byrnie_controlplane_kubernetes_failures_total",
                                    "Lists and watches that failed, by resource.",
                                    {{"resource", options_.name}})),
      backoff_(options_.backoff, random),
      last_heard_(loop->Now()),
      act_(loop->NewTimer([this] { Act(); })),
      list_again_(loop->NewTimer([this] { list_due_ = true; })) {
  act_->Schedule(absl::ZeroDuration());
}

void ListWatch::Act() {
  call_.reset();
  if (next_ == Next::kWatch && !list_due_) return Watch();
  List();
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
    listing_ = whole_ = list_due_ = false;
    sink_->OnListEnd();
    Succeeded();
    list_again_->Schedule(Spread(options_.list_every));
    next_ = Next::kWatch;
  }
  act_->Schedule(absl::ZeroDuration());
}

absl::Status ListWatch::ReadPage(const std::string& body) {
  ASSIGN_OR_RETURN(JsonObject page,
                   JsonValue::ParseLists(
                       body, kMaxPage, [this](absl::string_view member, const JsonValue& element) {
                         if (member == "items") sink_->OnListed(element);
                         return absl::OkStatus();
                       }));
  ASSIGN_OR_RETURN(JsonObject metadata, page.GetObject("metadata"));
  ASSIGN_OR_RETURN(resource_version_, metadata.GetString("resourceVersion"));
  ASSIGN_OR_RETURN(continue_, metadata.GetStringOr("continue", ""));
  return absl::OkStatus();
}

void ListWatch::Watch() {
  watches_->Increment();
  watch_begun_ = loop_->Now();
  watch_heard_ = false;
  line_.clear();
  const absl::Duration watch_for = Spread(options_.watch_for);
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
  if (response.ok() && response->status == 404) {
    path_ = (path_ + 1) % options_.paths.size();
    return Retry(Next::kList, ApiError(*response));
  }
  if (response.ok() && !response->ok()) {
    // One that is busy or starting knows the version; another, whose memory was restored, may not
    // have come so far, and would never be asked from where it is.
    const bool busy = response->status == 429 || response->status == 503;
    return Retry(busy ? Next::kWatch : Next::kList, ApiError(*response), response->retry_after);
  }
  const bool is_short = !watch_heard_ && loop_->Now() - watch_begun_ < kShortWatch;
  if (!response.ok() || is_short) {
    return Retry(Next::kWatch, response.ok() ? absl::UnavailableError("the watch ended at once")
                                             : response.status());
  }
  Succeeded();
  act_->Schedule(absl::ZeroDuration());
}

void ListWatch::ListAnew() {
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
  return next_ == Next::kList ? "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
                              : "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
}

std::string ListWatch::Target(const std::vector<std::string>& parameters) const {
  return absl::StrCat(options_.paths[path_], "?", absl::StrJoin(parameters, "&"),
                      options_.parameters.empty() ? "" : "&", options_.parameters);
}

}  // namespace byrnie
