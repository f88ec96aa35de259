#include "controlplane/kubernetes/ca_bundle_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"

namespace byrnie {
namespace {

constexpr char kWrites[] = "byrnie_controlplane_webhook_ca_bundle_writes_total";
constexpr char kWritesHelp[] =
    "Times the caBundle of the MutatingWebhookConfiguration was written, by result.";

// Webhooks are merged by their names ("strategic merge patch"): what else is said of each stays.
std::string PatchOf(const WebhookConfiguration& found, const std::string& bundle) {
  JsonWriter json;
  json.BeginObject().Key("webhooks").BeginArray();
  for (const WebhookConfiguration::Webhook& webhook : found.webhooks) {
    json.BeginObject().Field("name", webhook.name);
    json.Key("clientConfig").BeginObject().Field("caBundle", bundle).EndObject().EndObject();
  }
  json.EndArray().EndObject();
  return std::move(json).Finish();
}

}  // namespace

CaBundleKeeper::CaBundleKeeper(std::string name, Informer<WebhookConfiguration>* configurations,
                               ApiClient* client, EventLoop* loop, absl::BitGenRef random,
                               Logger* logger, MetricRegistry* metrics)
    : name_(std::move(name)),
      configurations_(configurations),
      client_(client),
      logger_(logger),
      written_(metrics->AddCounter(kWrites, kWritesHelp, {{"result", "ok"}})),
      failed_(metrics->AddCounter(kWrites, kWritesHelp, {{"result", "failed"}})),
      in_place_(metrics->AddGauge(
          "byrnie_controlplane_webhook_ca_bundle_in_place",
          "1 while the MutatingWebhookConfiguration is there and has our caBundle: API servers can "
          "ask for injection.")),
      backoff_({absl::Milliseconds(500), absl::Seconds(30), 2.0, 0.5, absl::Milliseconds(50)},
               random),
      calm_(loop->NewTimer([this] {
        undone_ = 0;
        contested_.store(false, std::memory_order_relaxed);
      })),
      write_(loop->NewTimer([this] { Write(); })) {
  configurations->AddListener(
      [this](const Informer<WebhookConfiguration>::Changes&) { Look(false); });
}

void CaBundleKeeper::SetBundle(absl::string_view pem) {
  std::string bundle = absl::Base64Escape(pem);
  if (pem.empty() || bundle == bundle_) return;
  bundle_ = std::move(bundle);
  Look(true);
}

absl::Status CaBundleKeeper::CheckReady() const {
  if (ready_.load(std::memory_order_relaxed)) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the caBundle of the MutatingWebhookConfiguration \"", name_,
                   "\" is not in place yet: API servers cannot ask for injection"));
}

const WebhookConfiguration* CaBundleKeeper::Find() const {
  const auto found = configurations_->objects().find({"", name_});
  return found == configurations_->objects().end() ? nullptr : found->second.get();
}

bool CaBundleKeeper::IsInPlace(const WebhookConfiguration& found) const {
  return std::all_of(found.webhooks.begin(), found.webhooks.end(),
                     [this](const WebhookConfiguration::Webhook& webhook) {
                       return webhook.ca_bundle == bundle_;
                     });
}

void CaBundleKeeper::Settle(bool in_place) {
  was_in_place_ = in_place;
  in_place_->Set(in_place ? 1 : 0);
  ready_.store(true, std::memory_order_relaxed);
}

void CaBundleKeeper::Look(bool told) {
  if (bundle_.empty() || !configurations_->synced()) return;
  const WebhookConfiguration* const found = Find();
  if (found == nullptr) {
    if (!std::exchange(said_absent_, true)) {
      logger_->Warning("no API server asks for injection: there is no such object",
                       {{"MutatingWebhookConfiguration", name_}});
    }
    write_->Cancel();
    return Settle(false);
  }
  said_absent_ = false;
  if (IsInPlace(*found)) {
    write_->Cancel();
    return Settle(true);
  }
  in_place_->Set(0);
  const bool undone = std::exchange(was_in_place_, false) && !told;
  if (undone) NoteUndone();
  // What is under way is followed by another look.
  if (call_ != nullptr) return;
  if (told || !write_->scheduled()) write_->Schedule(undone ? kPatience : absl::ZeroDuration());
}

void CaBundleKeeper::NoteUndone() {
  calm_->Schedule(kCalm);
  if (++undone_ < kContested || contested_.exchange(true, std::memory_order_relaxed)) return;
  logger_->Error(
      "another installation writes its own caBundle into the object: API servers can ask only one "
      "of the two",
      {{"MutatingWebhookConfiguration", name_}});
}

void CaBundleKeeper::Write() {
  const WebhookConfiguration* const found = Find();
  if (found == nullptr || IsInPlace(*found)) return;
  ApiRequest request;
  request.method = "PATCH";
  request.target =
      absl::StrCat("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/",
                   EncodeQuery(name_), "?fieldManager=byrnie");
  request.content_type = "application/strategic-merge-patch+json";
  request.body = PatchOf(*found, bundle_);
  ApiClient::Handlers handlers;
  handlers.on_done = [this](absl::StatusOr<ApiResponse> response) { OnDone(std::move(response)); };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void CaBundleKeeper::OnDone(absl::StatusOr<ApiResponse> response) {
  call_.reset();
  const absl::Status done = StatusOf(response);
  if (done.ok()) {
    written_->Increment();
    backoff_.Reset();
    logged_.clear();
    logger_->Info("caBundle written", {{"MutatingWebhookConfiguration", name_}});
    const absl::StatusOr<JsonValue> value = JsonValue::Parse(response->body, response->body.size());
    const absl::StatusOr<WebhookConfiguration> found =
        value.ok() ? ParseWebhookConfiguration(*value) : value.status();
    if (found.ok() && IsInPlace(*found)) return Settle(true);
    write_->Schedule(kPatience);
    return;
  }
  failed_->Increment();
  const absl::Duration asked =
      response.ok() ? response->retry_after.value_or(absl::ZeroDuration()) : absl::ZeroDuration();
  write_->Schedule(std::max(backoff_.Next(), asked));
  if (logged_ == done.message()) return;
  logged_ = std::string(done.message());
  logger_->Error("cannot write the caBundle",
                 {{"MutatingWebhookConfiguration", name_}, {"error", done.message()}});
}

}  // namespace byrnie
