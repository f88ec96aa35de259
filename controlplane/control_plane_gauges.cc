#include "controlplane/control_plane_gauges.h"

#include "absl/time/time.h"

namespace byrnie {
namespace {

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

}  // namespace

void AddControlPlaneGauges(const GaugeSources& from, MetricRegistry* metrics) {
  metrics->AddCallbackGauge(
      "byrnie_controlplane_root_certificate_not_after_seconds",
      "End of the root certificate, as Unix time.",
      [authority = from.authority] { return UnixSeconds(authority->root()->not_after()); });
  metrics->AddCallbackGauge(
      "byrnie_controlplane_server_certificate_not_after_seconds",
      "End of the control plane's own certificate, as Unix time.",
      [identity = from.identity] { return UnixSeconds(identity->current()->not_after); });
  metrics->AddCallbackGauge(
      "byrnie_controlplane_makes_jwt_keys",
      "1 while this is the control plane, of those that share a store, that makes the keys of "
      "JWT-SVIDs.",
      [makes = from.makes_jwt_keys] { return makes() ? 1.0 : 0.0; });
  metrics->AddCallbackCounter(
      "byrnie_controlplane_log_lines_dropped_total",
      "Lines of the log dropped because nobody read them in time.",
      [logger = from.logger] { return static_cast<double>(logger->dropped_lines()); });
  metrics->AddCallbackGauge("byrnie_controlplane_agents_connected", "Agents with an open stream.",
                            [agents = from.agents] { return static_cast<double>(agents->size()); });
  metrics->AddCallbackGauge(
      "byrnie_controlplane_registry_troubles",
      "Stored policies, workloads and services that do not go with the rest, see byrniectl check.",
      [sources = from.registry_sources] {
        return static_cast<double>(sources->troubles().size());
      });
  const char* const name = "byrnie_controlplane_registry_resources";
  const char* const help = "What the registry holds, by kind.";
  const Registry* const registry = from.registry;
  metrics->AddCallbackGauge(
      name, help,
      [registry] { return static_cast<double>(registry->snapshot()->workload_count()); },
      {{"kind", "workload"}});
  metrics->AddCallbackGauge(
      name, help, [registry] { return static_cast<double>(registry->snapshot()->service_count()); },
      {{"kind", "service"}});
  metrics->AddCallbackGauge(
      name, help, [registry] { return static_cast<double>(registry->snapshot()->policy_count()); },
      {{"kind", "policy"}});
}

void AddWebhookGauge(const ServerIdentity* identity, MetricRegistry* metrics) {
  metrics->AddCallbackGauge("byrnie_controlplane_webhook_certificate_not_after_seconds",
                            "End of the injection webhook's certificate, as Unix time.",
                            [identity] { return UnixSeconds(identity->current()->not_after); });
}

}  // namespace byrnie
