#include "controlplane/registry/entry_document.h"

#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "common/net/socket_address.h"
#include "controlplane/registry/resource_list.h"
#include "controlplane/registry/static_parser.h"

namespace byrnie {
namespace {

using istio::workload::LoadBalancing;
using istio::workload::Service;
using istio::workload::Workload;

// Keys of records are printable ASCII and have an end.
constexpr size_t kMaxUid = 512;

absl::Status CheckUid(const Workload& workload, size_t index) {
  const bool printable = absl::c_all_of(
      workload.uid(), [](char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)); });
  if (printable && workload.uid().size() <= kMaxUid) return absl::OkStatus();
  return InvalidField(absl::StrCat("document.workloads[", index, "].uid"),
                      absl::StrCat("give at most ", kMaxUid, " printable ASCII characters"));
}

// A text that a missing member means, too, is left out.
void WriteText(absl::string_view name, const std::string& text, JsonWriter* json) {
  if (!text.empty()) json->Field(name, text);
}

void WriteAddress(const std::string& bytes, JsonWriter* json) {
  const absl::StatusOr<IpAddress> ip = IpAddress::FromBytes(bytes);
  json->Value(ip.ok() ? ip->ToString() : "");
}

template <typename Ports>
void WritePorts(const Ports& ports, JsonWriter* json) {
  json->BeginArray();
  for (const auto& port : ports) {
    json->BeginObject().Field("service_port", port.service_port());
    if (port.target_port() != 0) json->Field("target_port", port.target_port());
    json->EndObject();
  }
  json->EndArray();
}

template <typename Texts>
void WriteTexts(absl::string_view name, const Texts& texts, JsonWriter* json) {
  if (texts.empty()) return;
  json->Key(name).BeginArray();
  for (const std::string& text : texts) json->Value(text);
  json->EndArray();
}

void WriteLocality(const istio::workload::Locality& locality, JsonWriter* json) {
  json->Key("locality").BeginObject();
  WriteText("region", locality.region(), json);
  WriteText("zone", locality.zone(), json);
  WriteText("subzone", locality.subzone(), json);
  json->EndObject();
}

void WriteEntry(const Workload& workload, JsonWriter* json) {
  json->Field("name", workload.name())
      .Field("namespace", workload.namespace_())
      .Field("service_account", workload.service_account())
      .Field("trust_domain", workload.trust_domain())
      .Field("uid", workload.uid());
  json->Key("addresses").BeginArray();
  for (const std::string& address : workload.addresses()) WriteAddress(address, json);
  json->EndArray();
  WriteText("network", workload.network(), json);
  WriteText("cluster_id", workload.cluster_id(), json);
  WriteText("node", workload.node(), json);
  if (workload.has_locality()) WriteLocality(workload.locality(), json);
  json->Field("tunnel_protocol", istio::workload::TunnelProtocol_Name(workload.tunnel_protocol()));
  if (workload.application_tunnel().protocol() == istio::workload::ApplicationTunnel::PROXY) {
    json->Key("application_tunnel").BeginObject().Field("protocol", "PROXY");
    if (workload.application_tunnel().port() != 0) {
      json->Field("port", workload.application_tunnel().port());
    }
    json->EndObject();
  }
  if (workload.capacity().value() != 1) json->Field("capacity", workload.capacity().value());
  if (workload.status() != istio::workload::HEALTHY) json->Field("healthy", false);
  WriteTexts("authorization_policies", workload.authorization_policies(), json);
  if (workload.services().empty()) return;
  // In an order.
  std::map<std::string, const istio::workload::PortList*> services;
  for (const auto& entry : workload.services()) services.emplace(entry.first, &entry.second);
  json->Key("services").BeginObject();
  for (const auto& [key, ports] : services) {
    json->Key(key);
    WritePorts(ports->ports(), json);
  }
  json->EndObject();
}

void WriteEntry(const Service& service, JsonWriter* json) {
  json->Field("name", service.name())
      .Field("namespace", service.namespace_())
      .Field("hostname", service.hostname());
  if (!service.addresses().empty()) {
    WriteText("network", service.addresses(0).network(), json);
    json->Key("addresses").BeginArray();
    for (const auto& address : service.addresses()) WriteAddress(address.address(), json);
    json->EndArray();
  }
  json->Key("ports");
  WritePorts(service.ports(), json);
  WriteTexts("subject_alt_names", service.subject_alt_names(), json);
  if (!service.has_load_balancing()) return;
  const LoadBalancing& balancing = service.load_balancing();
  json->Key("load_balancing").BeginObject();
  if (balancing.mode() == LoadBalancing::STRICT || balancing.mode() == LoadBalancing::FAILOVER) {
    json->Field("mode", LoadBalancing::Mode_Name(balancing.mode()));
    json->Key("routing_preference").BeginArray();
    for (const int scope : balancing.routing_preference()) {
      json->Value(LoadBalancing::Scope_Name(static_cast<LoadBalancing::Scope>(scope)));
    }
    json->EndArray();
  }
  json->Field("health_policy", LoadBalancing::HealthPolicy_Name(balancing.health_policy()));
  json->EndObject();
}

template <typename Entry>
std::string WriteDocument(absl::string_view list, const Entry& entry) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject().Key(list).BeginArray().BeginObject();
  WriteEntry(entry, &json);
  json.EndObject().EndArray().EndObject();
  return std::move(json).Finish();
}

}  // namespace

absl::StatusOr<RegistryContent> ParseRegistryDocument(absl::string_view text,
                                                      const std::string& trust_domain) {
  if (text.empty()) {
    return InvalidField("document", R"(is empty; give {"workloads": [...], "services": [...]})");
  }
  if (text.size() > kMaxRegistryDocument) {
    return InvalidField("document", absl::StrCat("has ", text.size(), " bytes; give at most ",
                                                 kMaxRegistryDocument, ", in several calls"));
  }
  absl::StatusOr<RegistryContent> content = ParseRegistryFile(text, trust_domain);
  if (!content.ok()) return InvalidDocument("document", content.status());
  if (!content->policies.empty()) {
    return InvalidField("document.policies", "are applied with byrniectl policy apply");
  }
  const size_t count = content->workloads.size() + content->services.size();
  if (count == 0) return InvalidField("document", "has neither workloads nor services; give one");
  if (count > kMaxRegistryDocumentEntries) {
    return InvalidField("document",
                        absl::StrCat("has ", count, " entries; give at most ",
                                     kMaxRegistryDocumentEntries, ", in several calls"));
  }
  for (size_t i = 0; i < content->workloads.size(); ++i) {
    RETURN_IF_ERROR(CheckUid(content->workloads[i], i));
  }
  const absl::Status checked = ResourceList::Create(RegistrySource::kApiEntries, *content).status();
  if (!checked.ok()) return InvalidDocument("document", checked);
  return content;
}

std::string WriteRegistryDocument(const Workload& workload) {
  return WriteDocument("workloads", workload);
}

std::string WriteRegistryDocument(const Service& service) {
  return WriteDocument("services", service);
}

}  // namespace byrnie
