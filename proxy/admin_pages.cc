#include "proxy/admin_pages.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "common/base/utc_text.h"
#include "common/base/version.h"
#include "common/crypto/certificate.h"
#include "common/crypto/revocation_list.h"
#include "proxy/access_record.h"
#include "proxy/peer_info.h"
#include "proxy/workload.h"

namespace byrnie {
namespace {

void WriteCertificate(const Certificate& certificate, JsonWriter* json) {
  json->BeginObject()
      .Field("subject", certificate.Subject())
      .Field("serial", certificate.SerialHex())
      .Field("fingerprint_sha256", certificate.FingerprintHex())
      .Field("not_before", UtcText(certificate.not_before()))
      .Field("not_after", UtcText(certificate.not_after()));
  json->Key("uri_sans").BeginArray();
  for (const std::string& san : certificate.uri_sans()) json->Value(san);
  json->EndArray().EndObject();
}

void WriteRevocationList(const RevocationList& list, absl::Time now, JsonWriter* json) {
  json->BeginObject()
      .Field("issuer", list.issuer())
      .Field("this_update", UtcText(list.this_update()))
      .Field("next_update", UtcText(list.next_update()))
      .Field("seconds_left", absl::ToInt64Seconds(list.next_update() - now))
      .Field("revoked", static_cast<uint64_t>(list.size()))
      .EndObject();
}

void WriteAddresses(const char* name, const std::vector<IpAddress>& addresses, JsonWriter* json) {
  json->Key(name).BeginArray();
  for (const IpAddress& address : addresses) json->Value(address.ToString());
  json->EndArray();
}

const char* TunnelName(Workload::Tunnel tunnel) {
  switch (tunnel) {
    case Workload::Tunnel::kNone:
      return "none";
    case Workload::Tunnel::kHbone:
      return "hbone";
    case Workload::Tunnel::kLegacyMtls:
      return "legacy-istio-mtls";
  }
  return "unknown";
}

const char* ScopeName(LoadBalancing::Scope scope) {
  switch (scope) {
    case LoadBalancing::Scope::kRegion:
      return "region";
    case LoadBalancing::Scope::kZone:
      return "zone";
    case LoadBalancing::Scope::kSubzone:
      return "subzone";
    case LoadBalancing::Scope::kNode:
      return "node";
    case LoadBalancing::Scope::kCluster:
      return "cluster";
    case LoadBalancing::Scope::kNetwork:
      return "network";
  }
  return "unknown";
}

const char* ModeName(LoadBalancing::Mode mode) {
  switch (mode) {
    case LoadBalancing::Mode::kAny:
      return "any";
    case LoadBalancing::Mode::kStrict:
      return "strict";
    case LoadBalancing::Mode::kFailover:
      return "failover";
    case LoadBalancing::Mode::kPassthrough:
      return "passthrough";
  }
  return "unknown";
}

const char* ScopeName(Policy::Scope scope) {
  switch (scope) {
    case Policy::Scope::kGlobal:
      return "global";
    case Policy::Scope::kNamespace:
      return "namespace";
    case Policy::Scope::kWorkloadSelector:
      return "workload-selector";
  }
  return "unknown";
}

void WriteWorkload(const Workload& workload, JsonWriter* json) {
  json->BeginObject()
      .Field("uid", workload.uid)
      .Field("name", workload.name)
      .Field("namespace", workload.ns)
      .Field("identity", workload.identity.has_value() ? workload.identity->text() : "")
      .Field("workload_name", workload.workload_name)
      .Field("workload_type", NameOf(workload.maker))
      .Field("canonical_name", workload.canonical_name)
      .Field("canonical_revision", workload.canonical_revision)
      .Field("tunnel", TunnelName(workload.tunnel))
      .Field("capacity", workload.capacity)
      .Field("healthy", workload.healthy);
  WriteAddresses("addresses", workload.addresses, json);
  if (workload.proxy_protocol) {
    json->Key("application_tunnel").BeginObject().Field("protocol", "proxy");
    if (workload.proxy_protocol_port != 0) json->Field("port", workload.proxy_protocol_port);
    json->EndObject();
  }
  json->Key("placement")
      .BeginObject()
      .Field("network", workload.placement.network)
      .Field("cluster", workload.placement.cluster)
      .Field("node", workload.placement.node)
      .Field("region", workload.placement.region)
      .Field("zone", workload.placement.zone)
      .Field("subzone", workload.placement.subzone)
      .EndObject();
  json->Key("services").BeginObject();
  for (const auto& [service, ports] : workload.services) {
    json->Key(service).BeginObject();
    for (const auto& [port, target] : ports) json->Field(absl::StrCat(port), target);
    json->EndObject();
  }
  json->EndObject();
  json->Key("authorization_policies").BeginArray();
  for (const std::string& policy : workload.authorization_policies) json->Value(policy);
  json->EndArray().EndObject();
}

void WriteService(const Service& service, JsonWriter* json) {
  json->BeginObject().Field("namespace", service.ns).Field("hostname", service.hostname);
  WriteAddresses("addresses", service.vips, json);
  json->Key("ports").BeginObject();
  for (const auto& [port, target] : service.ports) json->Field(absl::StrCat(port), target);
  json->EndObject();
  json->Key("subject_alt_names").BeginArray();
  for (const SpiffeId& id : service.subject_alt_names) json->Value(id.text());
  json->EndArray();
  json->Key("load_balancing").BeginObject().Field("mode", ModeName(service.balancing.mode));
  json->Key("routing_preference").BeginArray();
  for (const LoadBalancing::Scope scope : service.balancing.preference) {
    json->Value(ScopeName(scope));
  }
  json->EndArray().Field("allow_unhealthy", service.balancing.allow_unhealthy).EndObject();
  json->EndObject();
}

void WriteConnection(const Connection::View& connection, size_t worker, JsonWriter* json) {
  const PeerInfo* const peer = connection.peer.get();
  json->BeginObject()
      .Field("worker", worker)
      .Field("connection", absl::StrCat(worker, "-", connection.id))
      .Field("direction", NameOf(connection.direction))
      .Field("state", connection.state)
      .Field("source", connection.source.ToString())
      .Field("original_destination", connection.original_destination.ToString())
      .Field("destination",
             connection.destination.has_value() ? connection.destination->ToString() : "")
      .Field("service", connection.service)
      .Field("peer_identity", peer == nullptr ? "" : peer->peer.id.text())
      .Field("proven_until", peer == nullptr ? "" : UtcText(peer->not_after()))
      .Field("admitted_by", connection.admitted_by == nullptr ? "" : *connection.admitted_by)
      .Field("tunnel", peer == nullptr ? 0 : peer->tunnel)
      .Field("stream", connection.stream)
      .Field("bytes_sent", connection.bytes_sent)
      .Field("bytes_received", connection.bytes_received)
      .Field("buffered_bytes", connection.buffered)
      .Field("age_seconds", absl::ToDoubleSeconds(connection.age));
  WriteStages(connection.stages, json);
  json->EndObject();
}

}  // namespace

void WriteStages(const StageTimes& stages, JsonWriter* json) {
  for (size_t i = 0; i < StageTimes::kStages; ++i) {
    const auto stage = static_cast<StageTimes::Stage>(i);
    const absl::optional<absl::Duration> took = stages.Get(stage);
    if (took.has_value()) {
      json->Field(StageTimes::FieldOf(stage), absl::ToDoubleMilliseconds(*took));
    }
  }
}

std::string RenderCerts(const MeshSnapshot& mesh, absl::Time now) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject();
  if (mesh.identity != nullptr) {
    const IdentitySnapshot& identity = *mesh.identity->identity;
    json.Field("spiffe_id", identity.id().text())
        .Field("generation", identity.generation())
        .Field("not_after", UtcText(identity.not_after()))
        .Field("seconds_left", absl::ToInt64Seconds(identity.not_after() - now));
    json.Key("chain").BeginArray();
    for (const CertificatePtr& certificate : identity.chain())
      WriteCertificate(*certificate, &json);
    json.EndArray().Key("trust_bundles").BeginObject();
    for (const auto& [trust_domain, bundle] : identity.bundles().bundles()) {
      json.Key(trust_domain).BeginArray();
      for (const CertificatePtr& root : bundle.roots) WriteCertificate(*root, &json);
      json.EndArray();
    }
    json.EndObject().Key("revocation_lists").BeginObject();
    for (const auto& [trust_domain, bundle] : identity.bundles().bundles()) {
      if (bundle.crls.empty()) continue;
      json.Key(trust_domain).BeginArray();
      for (const RevocationListPtr& list : bundle.crls) WriteRevocationList(*list, now, &json);
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndObject();
  return std::move(json).Finish() + "\n";
}

std::string RenderConfigDump(const MeshSnapshot& mesh, const ProxyConfig& config) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Field("release", kRelease);
  json.Key("flags").BeginObject();
  for (const auto& [name, value] : config.shown_flags) json.Field(name, value);
  json.EndObject();
  json.Key("workloads").BeginArray();
  for (const auto& [uid, workload] : mesh.routes->workloads()) WriteWorkload(*workload, &json);
  json.EndArray().Key("services").BeginArray();
  for (const auto& [key, service] : mesh.routes->services()) WriteService(*service, &json);
  json.EndArray();
  if (mesh.policies != nullptr) {
    json.Field("policy_epoch", mesh.policies->epoch()).Key("policies").BeginArray();
    for (const Policy& policy : mesh.policies->policies()) {
      json.BeginObject()
          .Field("namespace", policy.ns)
          .Field("name", policy.name)
          .Field("scope", ScopeName(policy.scope))
          .Field("action", policy.action == Policy::Action::kAllow ? "allow" : "deny")
          .Field("dry_run", policy.dry_run)
          .Field("rules", policy.rules.size())
          .EndObject();
    }
    json.EndArray();
  }
  json.EndObject();
  return std::move(json).Finish() + "\n";
}

std::string RenderConnections(const std::vector<Worker::View>& workers, bool complete,
                              size_t limit) {
  size_t total = 0;
  for (const Worker::View& worker : workers) total += worker.connection_count;
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Field("complete", complete).Field("open", total);
  json.Key("connections").BeginArray();
  size_t left = limit;
  for (size_t i = 0; i < workers.size(); ++i) {
    for (const Connection::View& connection : workers[i].connections) {
      if (left == 0) break;
      --left;
      WriteConnection(connection, i, &json);
    }
  }
  json.EndArray().Key("tunnels").BeginArray();
  for (size_t i = 0; i < workers.size(); ++i) {
    for (const TunnelPool::TunnelView& tunnel : workers[i].outbound_tunnels) {
      json.BeginObject()
          .Field("worker", i)
          .Field("tunnel", tunnel.id)
          .Field("direction", "outbound")
          .Field("address", tunnel.address.ToString())
          .Field("peer_identity", tunnel.peer)
          .Field("state", tunnel.state)
          .Field("streams", tunnel.streams)
          .Field("age_seconds", absl::ToDoubleSeconds(tunnel.age))
          .EndObject();
    }
    for (const TunnelServer::TunnelView& tunnel : workers[i].inbound_tunnels) {
      json.BeginObject()
          .Field("worker", i)
          .Field("tunnel", tunnel.id)
          .Field("direction", "inbound")
          .Field("address", tunnel.source.ToString())
          .Field("peer_identity", tunnel.peer)
          .Field("state", tunnel.state)
          .Field("streams", tunnel.streams)
          .Field("age_seconds", absl::ToDoubleSeconds(tunnel.age))
          .EndObject();
    }
  }
  json.EndArray().Key("failed_endpoints").BeginArray();
  for (size_t i = 0; i < workers.size(); ++i) {
    for (const OutlierDetector::EndpointView& endpoint : workers[i].failed_endpoints) {
      json.BeginObject()
          .Field("worker", i)
          .Field("endpoint", endpoint.endpoint)
          .Field("failures", endpoint.failures)
          .Field("ejected_for_seconds", absl::ToDoubleSeconds(endpoint.ejected_for))
          .EndObject();
    }
  }
  json.EndArray().EndObject();
  return std::move(json).Finish() + "\n";
}

}  // namespace byrnie
