#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_CA_BUNDLE_KEEPER_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_CA_BUNDLE_KEEPER_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/api_client.h"
#include "controlplane/kubernetes/informer.h"
#include "controlplane/kubernetes/webhook_configuration.h"

namespace byrnie {

// Keeps the caBundle of one MutatingWebhookConfiguration, in each of its webhooks, what it is told:
// at first, when that becomes another one, and when somebody has changed it. One request at a time,
// again with back-off when it fails. Lives on one loop, but for CheckReady.
//
// States: unknown (nothing listed, or no bundle) → absent (there is no such object) | stale ⇄ in
// place; any of the last three may follow another.
class CaBundleKeeper {
 public:
  // A bundle that others have put there is looked at again after this: of several control planes
  // one may hear of a new root a moment before the others, and they shall not undo it in turn.
  static constexpr absl::Duration kPatience = absl::Seconds(2);
  // It is undone by another installation, not by a control plane that is late, when it is so often,
  // with no longer than kCalm in between.
  static constexpr int kContested = 3;
  static constexpr absl::Duration kCalm = absl::Minutes(1);

  // `configurations` are all there are or the one called `name`. The pointers, and what `random`
  // borrows, outlive it.
  CaBundleKeeper(std::string name, Informer<WebhookConfiguration>* configurations,
                 ApiClient* client, EventLoop* loop, absl::BitGenRef random, Logger* logger,
                 MetricRegistry* metrics);
  CaBundleKeeper(const CaBundleKeeper&) = delete;
  CaBundleKeeper& operator=(const CaBundleKeeper&) = delete;

  // PEM. Nothing is written before the first one.
  void SetBundle(absl::string_view pem);

  // OK once the bundle has been in place, or there was no object to put it into, in which case no
  // API server asks. It stays: what comes later is for the log and the metrics, because a control
  // plane is there for more than the webhook. On any thread.
  absl::Status CheckReady() const;
  // Somebody writes another bundle whenever this one is in place: API servers can ask only whoever
  // wrote last. On any thread.
  bool contested() const { return contested_.load(std::memory_order_relaxed); }

 private:
  // What is there now; null: nothing.
  const WebhookConfiguration* Find() const;
  bool IsInPlace(const WebhookConfiguration& found) const;
  // `told`: it is ours that has changed, not the object.
  void Look(bool told);
  void Write();
  void OnDone(absl::StatusOr<ApiResponse> response);
  void Settle(bool in_place);
  void NoteUndone();

  const std::string name_;
  Informer<WebhookConfiguration>* const configurations_;  // Not owned.
  ApiClient* const client_;                               // Not owned.
  Logger* const logger_;                                  // Not owned.
  Counter* const written_;
  Counter* const failed_;
  Gauge* const in_place_;
  Backoff backoff_;
  // As the API has it; empty: none yet.
  std::string bundle_;
  std::string logged_;
  bool said_absent_ = false;
  bool was_in_place_ = false;
  std::atomic<bool> ready_{false}, contested_{false};
  // In a row.
  int undone_ = 0;
  std::unique_ptr<EventLoop::Timer> calm_;
  std::unique_ptr<EventLoop::Timer> write_;
  std::unique_ptr<ApiClient::Call> call_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_CA_BUNDLE_KEEPER_H_
