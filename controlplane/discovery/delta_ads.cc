#include "controlplane/discovery/delta_ads.h"

#include <memory>
#include <utility>

#include "common/base/status_macros.h"
#include "common/grpc/peer_address.h"
#include "controlplane/discovery/delta_subscriptions.h"
#include "controlplane/peer/peer_identity.h"
#include "controlplane/stream/agent_push_stream.h"

namespace byrnie {
namespace {

constexpr char kPushes[] = "byrnie_controlplane_discovery_pushes_total";
constexpr char kTooMuch[] = "byrnie_controlplane_discovery_exhausted_total";
constexpr char kTooMuchHelp[] =
    "Discovery streams refused or ended because of what they hold, by reason: one names too much, "
    "all of an identity do, or are too many.";
constexpr char kPushesHelp[] = "Discovery responses sent, by resource type.";

}  // namespace

class DeltaAds::Stream final : public AgentPushStream<Request, Response> {
 public:
  Stream(grpc::CallbackServerContext* context, DeltaAds* service, PeerIdentity peer,
         std::unique_ptr<NameBudget::Share> share)
      : AgentPushStream(context, &service->streams_, std::move(peer)),
        service_(service),
        share_(std::move(share)) {}

 private:
  absl::Status OnRequest(const Request& request) override {
    const absl::StatusOr<absl::optional<DeltaSubscriptions::Feedback>> taken =
        subscriptions_.OnRequest(request);
    if (!taken.ok()) {
      if (absl::IsResourceExhausted(taken.status())) {
        return TooMuch(service_->counters_.stream_names, taken.status());
      }
      return taken.status();
    }
    RETURN_IF_ERROR(Hold());
    const absl::optional<DeltaSubscriptions::Feedback>& feedback = *taken;
    if (feedback.has_value() && feedback->rejected) {
      service_->counters_.rejected->Increment();
      service_->logger_->Warning("agent rejected a discovery response",
                                 {{"agent", peer()->id.text()},
                                  {"address", address()},
                                  {"type", feedback->type_url},
                                  {"nonce", feedback->nonce},
                                  {"error", feedback->error.substr(0, 512)}});
    }
    return absl::OkStatus();
  }

  // Counts what the stream holds by now. ResourceExhausted: it is to be ended.
  absl::Status Hold() {
    const absl::Status own = subscriptions_.CheckHeld();
    if (!own.ok()) return TooMuch(service_->counters_.stream_names, own);
    const absl::Status held = share_->Hold(subscriptions_.held_bytes());
    return held.ok() ? held : TooMuch(service_->counters_.identity_names, held);
  }

  absl::Status TooMuch(Counter* counter, const absl::Status& status) {
    counter->Increment();
    service_->LogRefused(address(), status);
    return status;
  }

  absl::optional<Response> NextResponse() override {
    absl::optional<Response> response = subscriptions_.Next(service_->registry_->snapshot());
    // What it is sent is kept, too, and one name may stand for tens of thousands.
    const absl::Status held = Hold();
    if (!held.ok()) {
      MaybeFinish(held);
      return absl::nullopt;
    }
    if (response.has_value()) {
      const bool address = response->type_url() == ResourceTypeUrl(ResourceType::kAddress);
      (address ? service_->counters_.address_pushes : service_->counters_.authorization_pushes)
          ->Increment();
    }
    return response;
  }

  bool ReaderOwesAnswer() const override { return subscriptions_.awaits_acknowledgement(); }

  DeltaAds* const service_;  // Not owned.
  const std::unique_ptr<NameBudget::Share> share_;
  DeltaSubscriptions subscriptions_;
};

DeltaAds::DeltaAds(std::string trust_domain, const Registry* registry,
                   const TrustBundleSource* bundles, AgentTable* agents, const Clock* clock,
                   Logger* logger, MetricRegistry* metrics, std::function<bool()> is_complete)
    : trust_domain_(std::move(trust_domain)),
      registry_(registry),
      bundles_(bundles),
      clock_(clock),
      logger_(logger),
      counters_{metrics->AddCounter(kPushes, kPushesHelp, {{"type", "address"}}),
                metrics->AddCounter(kPushes, kPushesHelp, {{"type", "authorization"}}),
                metrics->AddCounter("byrnie_controlplane_discovery_rejections_total",
                                    "Discovery responses agents rejected."),
                metrics->AddCounter(kTooMuch, kTooMuchHelp, {{"reason", "identity_streams"}}),
                metrics->AddCounter(kTooMuch, kTooMuchHelp, {{"reason", "stream_names"}}),
                metrics->AddCounter(kTooMuch, kTooMuchHelp, {{"reason", "identity_names"}})},
      is_complete_(std::move(is_complete)),
      streams_(agents,
               metrics->AddGauge("byrnie_controlplane_streams", "Open streams, by service.",
                                 {{"service", "discovery"}}),
               clock) {}

void DeltaAds::LogRefused(const std::string& address, const absl::Status& status) {
  const absl::optional<uint64_t> unsaid = refusals_said_.Admit(clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  logger_->Warning("discovery stream refused",
                   {{"address", address}, {"error", status.message()}, {"not_logged", *unsaid}});
}

DeltaAds::Reactor* DeltaAds::Refuse(grpc::CallbackServerContext* context,
                                    const absl::Status& status) {
  LogRefused(PeerAddress(context->peer()), status);
  return new RefusedStream<Reactor>(status);
}

grpc::ServerBidiReactor<DeltaAds::Request, DeltaAds::Response>* DeltaAds::DeltaAggregatedResources(
    grpc::CallbackServerContext* context) {
  absl::StatusOr<PeerIdentity> peer =
      RequirePeer(*context->auth_context(), *bundles_->bundles(), trust_domain_, clock_->WallNow());
  if (!peer.ok()) return Refuse(context, peer.status());
  if (is_complete_ && !is_complete_()) {
    return Refuse(context,
                  absl::UnavailableError("the registry is not complete yet; come back later"));
  }
  absl::StatusOr<std::unique_ptr<NameBudget::Share>> share = names_.Open(peer->id.text());
  if (!share.ok()) {
    counters_.too_many_streams->Increment();
    return Refuse(context, share.status());
  }
  auto stream = std::make_unique<Stream>(context, this, *std::move(peer), *std::move(share));
  Stream* const added = stream.get();
  streams_.Add(std::move(stream));
  added->Start();
  return added;
}

}  // namespace byrnie
