#include "controlplane/kubernetes/trust_publisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"

namespace byrnie {
namespace {

constexpr char kPublished[] = "byrnie_controlplane_trust_bundle_writes_total";
constexpr char kPublishedHelp[] =
    "ConfigMaps with the trust bundle written to meshed namespaces, by result.";

bool IsMeshed(const LabelledObject& ns) {
  const auto label = ns.labels.find(TrustPublisher::kMeshedLabel);
  return label != ns.labels.end() && label->second == TrustPublisher::kMeshedValue;
}

std::string ConfigMapOf(const std::string& ns, const std::string& bundle) {
  JsonWriter json;
  json.BeginObject().Field("apiVersion", "v1").Field("kind", "ConfigMap");
  json.Key("metadata").BeginObject();
  json.Field("name", TrustPublisher::kConfigMap).Field("namespace", ns);
  json.Key("labels").BeginObject().Field("app.kubernetes.io/managed-by", "byrnie").EndObject();
  json.EndObject();
  json.Key("data").BeginObject().Field(TrustPublisher::kKey, bundle).EndObject();
  json.EndObject();
  return std::move(json).Finish();
}

}  // namespace

TrustPublisher::TrustPublisher(Informer<LabelledObject>* namespaces, ApiClient* client,
                               EventLoop* loop, absl::BitGenRef random, Logger* logger,
                               MetricRegistry* metrics)
    : namespaces_(namespaces),
      client_(client),
      logger_(logger),
      published_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "ok"}})),
      failed_(metrics->AddCounter(kPublished, kPublishedHelp, {{"result", "failed"}})),
      backoff_({absl::Milliseconds(500), absl::Minutes(1), 2.0, 0.5, absl::Milliseconds(50)},
               random),
      next_(loop->NewTimer([this] { Next(); })),
      again_(loop->NewTimer([this] { EnqueueAll(); })) {
  namespaces->AddListener(
      [this](const Informer<LabelledObject>::Changes& changes) { OnNamespaces(changes); });
  again_->Schedule(kEvery);
}

void TrustPublisher::SetBundle(std::string pem) {
  if (pem.empty() || pem == bundle_) return;
  bundle_ = std::move(pem);
  EnqueueAll();
}

void TrustPublisher::OnNamespaces(const Informer<LabelledObject>::Changes& changes) {
  for (const auto& change : changes) {
    if (change.after != nullptr && IsMeshed(*change.after)) Enqueue(change.name.name);
  }
}

void TrustPublisher::EnqueueAll() {
  again_->Schedule(kEvery);
  for (const auto& [name, ns] : namespaces_->objects()) {
    if (IsMeshed(*ns)) Enqueue(name.name);
  }
}

void TrustPublisher::Enqueue(const std::string& ns) {
  if (bundle_.empty() || !queued_.insert(ns).second) return;
  queue_.push_back(ns);
  if (call_ == nullptr && !next_->scheduled()) next_->Schedule(absl::ZeroDuration());
}

void TrustPublisher::Next() {
  call_.reset();
  if (queue_.empty()) return;
  const std::string ns = std::move(queue_.front());
  queue_.pop_front();
  // From here on another bundle is another write.
  queued_.erase(ns);
  const auto known = namespaces_->objects().find({"", ns});
  if (known == namespaces_->objects().end() || !IsMeshed(*known->second)) {
    next_->Schedule(absl::ZeroDuration());
    return;
  }
  ApiRequest request;
  request.method = "PATCH";
  request.target = absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/configmaps/", kConfigMap,
                                "?fieldManager=byrnie&force=true");
  request.content_type = "application/apply-patch+yaml";
  request.body = ConfigMapOf(ns, bundle_);
  ApiClient::Handlers handlers;
  handlers.on_done = [this, ns](absl::StatusOr<ApiResponse> response) {
    OnDone(ns, std::move(response));
  };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void TrustPublisher::OnDone(const std::string& ns, absl::StatusOr<ApiResponse> response) {
  const absl::Status done = !response.ok()   ? response.status()
                            : response->ok() ? absl::OkStatus()
                                             : ApiError(*response);
  // One that is being deleted takes nothing any more: it is looked at when it changes.
  if (done.ok() || absl::IsNotFound(done) || absl::IsPermissionDenied(done)) {
    (done.ok() ? published_ : failed_)->Increment();
    backoff_.Reset();
    next_->Schedule(absl::ZeroDuration());
    if (done.ok()) return logged_.clear();
  } else {
    failed_->Increment();
    if (queued_.insert(ns).second) queue_.push_back(ns);
    next_->Schedule(std::max(backoff_.Next(),
                             response.ok() ? response->retry_after.value_or(absl::ZeroDuration())
                                           : absl::ZeroDuration()));
  }
  if (logged_ == done.message()) return;
  logged_ = std::string(done.message());
  logger_->Error("cannot write the trust bundle to a meshed namespace",
                 {{"namespace", ns}, {"error", done.message()}});
}

}  // namespace byrnie
