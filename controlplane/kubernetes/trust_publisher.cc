#include "controlplane/kubernetes/trust_publisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"

namespace byrnie {
namespace {

constexpr char kPublished[] = "byrnie_controlplane_trust_bundle_writes_total";
constexpr char kPublishedHelp[] =
    "ConfigMaps with the trust bundle written to meshed namespaces, by result.";

// What an API server lets a ConfigMap have, and what is around it.
constexpr size_t kMaxConfigMap = 4 * 1024 * 1024;

constexpr Backoff::Options kWaits = {absl::Milliseconds(500), absl::Minutes(1), 2.0, 0.5,
                                     absl::Milliseconds(50)};

// Whether it says nothing of the namespace: there is no answer, or the server has no time for one.
bool IsOfTheServer(const absl::StatusOr<ApiResponse>& response) {
  return !response.ok() || response->status == 429 || response->status == 503 ||
         response->status == 504;
}

bool IsMeshed(const LabelledObject& ns) {
  if (ns.terminating) return false;
  const auto label = ns.labels.find(TrustPublisher::kMeshedLabel);
  return label != ns.labels.end() && label->second == TrustPublisher::kMeshedValue;
}

std::string PathOf(const std::string& ns) {
  return absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/configmaps/",
                      TrustPublisher::kConfigMap);
}

// The certificates of a bundle, as their base64; none of what is no PEM.
std::set<std::string> RootsOf(absl::string_view pem) {
  constexpr absl::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  constexpr absl::string_view kEnd = "-----END CERTIFICATE-----";
  std::set<std::string> roots;
  for (size_t at = pem.find(kBegin); at != absl::string_view::npos; at = pem.find(kBegin, at)) {
    at += kBegin.size();
    const size_t end = pem.find(kEnd, at);
    if (end == absl::string_view::npos) break;
    std::string body;
    for (const char c : pem.substr(at, end - at)) {
      if (!absl::ascii_isspace(static_cast<unsigned char>(c))) body.push_back(c);
    }
    roots.insert(std::move(body));
  }
  return roots;
}

// Whether `theirs` has certificates and none of `ours`. What has none was damaged, and is repaired.
bool IsForeign(absl::string_view theirs, absl::string_view ours) {
  const std::set<std::string> roots = RootsOf(theirs), mine = RootsOf(ours);
  return !roots.empty() && std::none_of(roots.begin(), roots.end(), [&mine](const auto& root) {
    return mine.count(root) != 0;
  });
}

// The bundle of a ConfigMap; "" where it has none.
std::string BundleIn(const std::string& config_map) {
  const absl::StatusOr<JsonValue> value = JsonValue::Parse(config_map, kMaxConfigMap);
  if (!value.ok()) return "";
  const absl::StatusOr<PublishedBundle> bundle = ParsePublishedBundle(*value);
  return bundle.ok() ? bundle->pem : "";
}

std::string ConfigMapOf(const std::string& ns, const std::string& bundle) {
  JsonWriter json;
  json.BeginObject().Field("apiVersion", "v1").Field("kind", "ConfigMap");
  json.Key("metadata").BeginObject();
  json.Field("name", TrustPublisher::kConfigMap).Field("namespace", ns);
  json.Key("labels").BeginObject().Field("app.kubernetes.io/managed-by", "byrnie").EndObject();
  json.EndObject();
  json.Key("data").BeginObject().Field(PublishedBundle::kKey, bundle).EndObject();
  json.EndObject();
  return std::move(json).Finish();
}

}  // namespace

TrustPublisher::TrustPublisher(Informer<LabelledObject>* namespaces,
                               Informer<PublishedBundle>* bundles, ApiClient* client,
                               EventLoop* loop, absl::BitGenRef random, Logger* logger,
                               MetricRegistry* metrics)
    : namespaces_(namespaces),
      client_(client),
      logger_(logger),
      published_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "ok"}})),
      failed_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "failed"}})),
      refused_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "refused"}})),
      loop_(loop),
      random_(random),
      backoff_(kWaits, random),
      next_(loop->NewTimer([this] { Next(); })),
      again_(loop->NewTimer([this] { EnqueueAll(); })),
      repair_(loop->NewTimer([this] { Repair(); })) {
  namespaces->AddListener(
      [this](const Informer<LabelledObject>::Changes& changes) { OnNamespaces(changes); });
  bundles->AddListener(
      [this](const Informer<PublishedBundle>::Changes& changes) { OnBundles(changes); });
  again_->Schedule(kEvery);
}

void TrustPublisher::SetBundle(std::string pem) {
  if (pem.empty() || pem == bundle_) return;
  bundle_ = std::move(pem);
  EnqueueAll();
}

void TrustPublisher::OnNamespaces(const Informer<LabelledObject>::Changes& changes) {
  for (const auto& change : changes) {
    if (change.after != nullptr && IsMeshed(*change.after)) {
      Enqueue(change.name.name);
    } else {
      // One that is made anew is not this one.
      const auto trouble = troubles_.find(change.name.name);
      if (trouble != troubles_.end() && trouble->second.over->scheduled()) {
        queued_.erase(change.name.name);
      }
      Forget(change.name.name);
      GoOn();
    }
  }
}

// Our own writes come back here, too, and are no loss. What belongs to another mesh is that mesh's
// to put back, and has some time for it before it is looked at again.
void TrustPublisher::OnBundles(const Informer<PublishedBundle>::Changes& changes) {
  for (const auto& change : changes) {
    if (bundle_.empty() || !foreign_.empty() || change.name.name != kConfigMap) continue;
    if (change.after != nullptr && change.after->pem == bundle_) continue;
    lost_.insert(change.name.ns);
  }
  if (!lost_.empty() && !repair_->scheduled()) repair_->Schedule(kRepairAfter);
}

void TrustPublisher::Repair() {
  const std::set<std::string> lost = std::exchange(lost_, {});
  for (const std::string& ns : lost) {
    if (IsMeshedStill(ns)) Enqueue(ns);
  }
}

void TrustPublisher::EnqueueAll() {
  again_->Schedule(kEvery);
  // All of them are looked at before anything is written.
  foreign_.clear();
  for (const auto& [name, ns] : namespaces_->objects()) {
    if (IsMeshed(*ns)) Enqueue(name.name);
  }
}

void TrustPublisher::Enqueue(const std::string& ns) {
  if (bundle_.empty() || !queued_.insert(ns).second) return;
  looks_.push_back(ns);
  GoOn();
}

void TrustPublisher::GoOn() {
  if (call_ == nullptr && !next_->scheduled()) next_->Schedule(absl::ZeroDuration());
}

void TrustPublisher::Forget(const std::string& ns) {
  troubles_.erase(ns);
  logged_.erase(ns);
}

bool TrustPublisher::IsOneUnseen() const {
  return std::any_of(troubles_.begin(), troubles_.end(), [](const auto& trouble) {
    return trouble.second.failed_looks > 0 && trouble.second.failed_looks < kLooksBeforeOthers;
  });
}

void TrustPublisher::TryAgain(const std::string& ns, bool looked,
                              const absl::StatusOr<ApiResponse>& response) {
  const absl::Duration asked_for =
      response.ok() ? response->retry_after.value_or(absl::ZeroDuration()) : absl::ZeroDuration();
  if (IsOfTheServer(response)) {
    if (looked || queued_.insert(ns).second) looks_.push_back(ns);
    next_->Schedule(std::max(backoff_.Next(), asked_for));
    return;
  }
  // It is queued for as long as it waits.
  if (!looked && !queued_.insert(ns).second) return next_->Schedule(absl::ZeroDuration());
  auto trouble = troubles_.find(ns);
  if (trouble == troubles_.end()) {
    trouble = troubles_.emplace(ns, Trouble{Backoff(kWaits, random_), 0, nullptr}).first;
    trouble->second.over = loop_->NewTimer([this, ns] {
      looks_.push_back(ns);
      GoOn();
    });
  }
  if (looked) ++trouble->second.failed_looks;
  trouble->second.over->Schedule(std::max(trouble->second.backoff.Next(), asked_for));
  next_->Schedule(absl::ZeroDuration());
}

bool TrustPublisher::IsMeshedStill(const std::string& ns) const {
  const auto known = namespaces_->objects().find({"", ns});
  return known != namespaces_->objects().end() && IsMeshed(*known->second);
}

void TrustPublisher::Next() {
  call_.reset();
  std::deque<std::string>& queue = looks_.empty() ? writes_ : looks_;
  if (looks_.empty() && IsOneUnseen()) return;
  if (looks_.empty() && !foreign_.empty()) return Refuse();
  if (queue.empty()) return;
  const std::string ns = std::move(queue.front());
  queue.pop_front();
  if (!IsMeshedStill(ns)) {
    queued_.erase(ns);
    Forget(ns);
    next_->Schedule(absl::ZeroDuration());
  } else if (&queue == &looks_) {
    Look(ns);
  } else {
    Write(ns);
  }
}

void TrustPublisher::Look(const std::string& ns) {
  ApiRequest request;
  request.method = "GET";
  request.target = PathOf(ns);
  ApiClient::Handlers handlers;
  handlers.on_done = [this, ns](absl::StatusOr<ApiResponse> response) {
    OnLooked(ns, std::move(response));
  };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void TrustPublisher::OnLooked(const std::string& ns, absl::StatusOr<ApiResponse> response) {
  const absl::Status done = StatusOf(response);
  if (!done.ok() && !absl::IsNotFound(done)) {
    failed_->Increment();
    // Nobody knows what is there. Where it may not be looked at, somebody has to do something
    // first.
    if (absl::IsPermissionDenied(done)) {
      queued_.erase(ns);
      troubles_.erase(ns);
      next_->Schedule(absl::ZeroDuration());
    } else {
      TryAgain(ns, /*looked=*/true, response);
    }
    return Log("cannot look at the trust bundle of a meshed namespace", ns, done.message(),
               IsOfTheServer(response));
  }
  // What failed before may have been a write: only one that succeeds ends the waiting.
  const auto trouble = troubles_.find(ns);
  if (trouble != troubles_.end()) trouble->second.failed_looks = 0;
  if (done.ok() && IsForeign(BundleIn(response->body), bundle_)) {
    queued_.erase(ns);
    Forget(ns);
    foreign_.insert(ns);
  } else {
    writes_.push_back(ns);
  }
  next_->Schedule(absl::ZeroDuration());
}

void TrustPublisher::Refuse() {
  for (const std::string& ns : writes_) queued_.erase(ns);
  writes_.clear();
  refused_->Increment();
  again_->Schedule(kWhileForeign);
  Log("another mesh's roots are in a meshed namespace: the trust bundle is not written to any",
      *foreign_.begin(),
      "a cluster has one mesh. If that one is gone: kubectl delete configmaps --all-namespaces "
      "--field-selector metadata.name=byrnie-trust-bundle",
      /*of_the_server=*/true);
}

void TrustPublisher::Write(const std::string& ns) {
  // From here on another bundle is another write.
  queued_.erase(ns);
  ApiRequest request;
  request.method = "PATCH";
  request.target = absl::StrCat(PathOf(ns), "?fieldManager=byrnie&force=true");
  request.content_type = "application/apply-patch+yaml";
  request.body = ConfigMapOf(ns, bundle_);
  ApiClient::Handlers handlers;
  handlers.on_done = [this, ns](absl::StatusOr<ApiResponse> response) {
    OnDone(ns, std::move(response));
  };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void TrustPublisher::OnDone(const std::string& ns, absl::StatusOr<ApiResponse> response) {
  const absl::Status done = StatusOf(response);
  // One that is being deleted takes nothing any more: it is looked at when it changes.
  if (done.ok() || absl::IsNotFound(done) || absl::IsPermissionDenied(done)) {
    (done.ok() ? published_ : failed_)->Increment();
    backoff_.Reset();
    troubles_.erase(ns);
    next_->Schedule(absl::ZeroDuration());
    if (done.ok()) {
      logged_.erase(ns);
      logged_.erase("");
      return;
    }
  } else {
    failed_->Increment();
    TryAgain(ns, /*looked=*/false, response);
  }
  Log("cannot write the trust bundle to a meshed namespace", ns, done.message(),
      IsOfTheServer(response));
}

void TrustPublisher::Log(absl::string_view what, const std::string& ns, absl::string_view error,
                         bool of_the_server) {
  const std::string line = absl::StrCat(what, ": ", error);
  std::string& logged = logged_[of_the_server ? "" : ns];
  if (logged == line) return;
  logged = line;
  logger_->Error(what, {{"namespace", ns}, {"error", error}});
}

}  // namespace byrnie
