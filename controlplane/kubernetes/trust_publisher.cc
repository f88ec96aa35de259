#include "controlplane/kubernetes/trust_publisher.h"

#include <algorithm>
#include <iterator>
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

// Of the answer of an API server, for people.
constexpr size_t kMaxWhy = 200;
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
    // Not at a second beginning before the same end, of which a tenant may write many thousands.
    at = end;
  }
  return roots;
}

// Whose roots a bundle has. One without certificates was damaged, and is nobody's.
enum class Whose { kNobodys, kOurs, kForeign };

Whose WhoseIs(absl::string_view bundle, absl::string_view ours) {
  const std::set<std::string> roots = RootsOf(bundle), mine = RootsOf(ours);
  if (roots.empty()) return Whose::kNobodys;
  const bool shared = std::any_of(roots.begin(), roots.end(),
                                  [&mine](const auto& root) { return mine.count(root) != 0; });
  return shared ? Whose::kOurs : Whose::kForeign;
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

TrustPublisher::TrustPublisher(std::string home, Informer<LabelledObject>* namespaces,
                               Informer<PublishedBundle>* bundles, ApiClient* client,
                               EventLoop* loop, absl::BitGenRef random, Logger* logger,
                               MetricRegistry* metrics)
    : home_(std::move(home)),
      namespaces_(namespaces),
      bundles_(bundles),
      client_(client),
      logger_(logger),
      published_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "ok"}})),
      failed_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "failed"}})),
      refused_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "refused"}})),
      overwrites_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "overwritten"}})),
      loop_(loop),
      random_(random),
      backoff_(kWaits, random),
      next_(loop->NewTimer([this] { Next(); })),
      again_(loop->NewTimer([this] { EnqueueAll(); })),
      repair_(loop->NewTimer([this] { Repair(); })),
      list_wait_(loop->NewTimer([this] {
        list_is_late_ = true;
        GoOn();
      })) {
  namespaces->AddListener(
      [this](const Informer<LabelledObject>::Changes& changes) { OnNamespaces(changes); });
  bundles->AddListener(
      [this](const Informer<PublishedBundle>::Changes& changes) { OnBundles(changes); });
  again_->Schedule(kEvery);
  list_wait_->Schedule(kForList);
}

void TrustPublisher::SetBundle(std::string pem) {
  if (pem.empty() || pem == bundle_) return;
  bundle_ = std::move(pem);
  EnqueueAll();
}

void TrustPublisher::OnNamespaces(const Informer<LabelledObject>::Changes& changes) {
  for (const auto& change : changes) {
    if (change.after != nullptr && IsWanted(change.name.name, *change.after)) {
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
    if (bundle_.empty() || refusing_ || change.name.name != kConfigMap) continue;
    if (change.after != nullptr && change.after->pem == bundle_) continue;
    lost_.insert(change.name.ns);
  }
  if (!lost_.empty() && !repair_->scheduled()) repair_->Schedule(kRepairAfter);
  // The first list may have been waited for.
  GoOn();
}

void TrustPublisher::Repair() {
  const std::set<std::string> lost = std::exchange(lost_, {});
  for (const std::string& ns : lost) {
    if (IsWantedStill(ns)) Enqueue(ns);
  }
}

void TrustPublisher::EnqueueAll() {
  again_->Schedule(kEvery);
  // All of them are looked at before anything is written.
  foreign_.clear();
  refusing_ = false;
  {
    absl::MutexLock lock(&mu_);
    for (auto it = overwritten_.begin(); it != overwritten_.end();) {
      it = loop_->Now() - it->second >= kEvery ? overwritten_.erase(it) : std::next(it);
    }
  }
  for (const auto& [name, ns] : namespaces_->objects()) {
    if (IsWanted(name.name, *ns)) Enqueue(name.name);
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
  foreign_.erase(ns);
  absl::MutexLock lock(&mu_);
  unwritten_.erase(ns);
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

bool TrustPublisher::IsWanted(const std::string& name, const LabelledObject& ns) const {
  return !ns.terminating && (IsMeshed(ns) || name == home_);
}

bool TrustPublisher::IsWantedStill(const std::string& ns) const {
  const auto known = namespaces_->objects().find({"", ns});
  return known != namespaces_->objects().end() && IsWanted(ns, *known->second);
}

bool TrustPublisher::IsEstablished() {
  if (!established_) {
    const auto& all = bundles_->objects();
    established_ = std::any_of(all.begin(), all.end(), [this](const auto& entry) {
      return entry.first.name == kConfigMap && WhoseIs(entry.second->pem, bundle_) == Whose::kOurs;
    });
  }
  return established_;
}

std::string TrustPublisher::Foreigner() const {
  if (!foreign_.empty()) return *foreign_.begin();
  // Also where it is not looked, as in the home of another installation.
  for (const auto& [name, bundle] : bundles_->objects()) {
    if (name.name == kConfigMap && WhoseIs(bundle->pem, bundle_) == Whose::kForeign) return name.ns;
  }
  return "";
}

void TrustPublisher::Next() {
  call_.reset();
  std::deque<std::string>& queue = looks_.empty() ? writes_ : looks_;
  if (queue.empty()) return;
  if (&queue == &writes_ && !IsEstablished()) {
    if (IsOneUnseen() || (!bundles_->synced() && !list_is_late_)) return;
    const std::string foreigner = Foreigner();
    if (!foreigner.empty()) return Refuse(foreigner);
  }
  const std::string ns = std::move(queue.front());
  queue.pop_front();
  if (!IsWantedStill(ns)) {
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
  foreign_.erase(ns);
  if (done.ok()) {
    const Whose whose = WhoseIs(BundleIn(response->body), bundle_);
    if (whose == Whose::kOurs) established_ = true;
    if (whose == Whose::kForeign) foreign_.insert(ns);
  }
  // What becomes of a foreign one is known when all have been looked at.
  writes_.push_back(ns);
  next_->Schedule(absl::ZeroDuration());
}

void TrustPublisher::Refuse(const std::string& because_of) {
  for (const std::string& ns : writes_) queued_.erase(ns);
  writes_.clear();
  refusing_ = true;
  refused_->Increment();
  again_->Schedule(kWhileForeign);
  {
    absl::MutexLock lock(&mu_);
    refused_by_ = because_of;
  }
  Log("another mesh's roots are in the cluster: the trust bundle is not written to any namespace",
      because_of,
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
    if (done.ok()) {
      established_ = true;
      if (foreign_.erase(ns) != 0) OnOverwritten(ns);
      absl::MutexLock lock(&mu_);
      refused_by_.clear();
      unwritten_.erase(ns);
    }
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

void TrustPublisher::OnOverwritten(const std::string& ns) {
  overwrites_->Increment();
  absl::MutexLock lock(&mu_);
  // Whoever does it again and again is told of once in a while.
  const bool told = !overwritten_.insert_or_assign(ns, loop_->Now()).second;
  if (told) return;
  logger_->Warning(
      "roots of another mesh were in a namespace and have been overwritten",
      {{"namespace", ns},
       {"remedy",
        "see who writes the ConfigMap byrnie-trust-bundle there (metadata.managedFields)"}});
}

std::string TrustPublisher::refused_by() const {
  absl::MutexLock lock(&mu_);
  return refused_by_;
}

std::vector<std::string> TrustPublisher::overwritten() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const auto& entry : overwritten_) names.push_back(entry.first);
  return names;
}

std::vector<std::string> TrustPublisher::unwritten() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const auto& [ns, why] : unwritten_) names.push_back(absl::StrCat(ns, " (", why, ")"));
  return names;
}

void TrustPublisher::Log(absl::string_view what, const std::string& ns, absl::string_view error,
                         bool of_the_server) {
  if (!of_the_server) {
    // Of one that has gone since it was asked for, nothing is kept: it was forgotten already.
    if (!IsWantedStill(ns)) return;
    absl::MutexLock lock(&mu_);
    unwritten_[ns] = std::string(error.substr(0, kMaxWhy));
  }
  const std::string line = absl::StrCat(what, ": ", error);
  std::string& logged = logged_[of_the_server ? "" : ns];
  if (logged == line) return;
  logged = line;
  logger_->Error(what, {{"namespace", ns}, {"error", error}});
}

}  // namespace byrnie
