#include "certagent/workload_api/workload_metrics.h"

namespace byrnie {

WorkloadMetrics::WorkloadMetrics(MetricRegistry* metrics) {
  constexpr char kConnections[] = "byrnie_certagent_workload_connections_total";
  constexpr char kConnectionsHelp[] = "Connections to the workload API's socket, by result.";
  accepted = metrics->AddCounter(kConnections, kConnectionsHelp, {{"result", "accepted"}});
  refused_uid = metrics->AddCounter(kConnections, kConnectionsHelp, {{"result", "refused_uid"}});
  refused_limit =
      metrics->AddCounter(kConnections, kConnectionsHelp, {{"result", "refused_limit"}});
  connections = metrics->AddGauge("byrnie_certagent_workload_connections",
                                  "Open connections to the workload API's socket.");
  streams = metrics->AddGauge("byrnie_certagent_workload_streams",
                              "Open streams of the workload API and of secret discovery.");
  updates = metrics->AddCounter("byrnie_certagent_workload_updates_total",
                                "Messages sent on these streams.");
  secrets_rejected =
      metrics->AddCounter("byrnie_certagent_secret_rejections_total",
                          "Responses that a client of secret discovery rejected (NACK).");
  constexpr char kJwt[] = "byrnie_certagent_jwt_svids_total";
  constexpr char kJwtHelp[] = "JWT-SVIDs asked for by the workload, by where they came from.";
  jwt_issued = metrics->AddCounter(kJwt, kJwtHelp, {{"result", "issued"}});
  jwt_cached = metrics->AddCounter(kJwt, kJwtHelp, {{"result", "cached"}});
  jwt_failed = metrics->AddCounter(kJwt, kJwtHelp, {{"result", "failed"}});
  constexpr char kValidations[] = "byrnie_certagent_jwt_validations_total";
  constexpr char kValidationsHelp[] = "JWT-SVIDs validated for the workload, by result.";
  jwt_validated = metrics->AddCounter(kValidations, kValidationsHelp, {{"result", "valid"}});
  jwt_invalid = metrics->AddCounter(kValidations, kValidationsHelp, {{"result", "invalid"}});
}

}  // namespace byrnie
